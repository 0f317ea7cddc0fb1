//! Removes leaves and empty tables from a range: the common part of unmap and undo.
//!
//! The sweep goes through the pages in order. It decides on each leaf that it meets, and on each table when it leaves
//! it, if the table is empty by then. Removing a table makes the entry above it empty, so the walk to the same page
//! then ends one level higher, where the sweep decides on the table above. So tables are removed bottom up, and the
//! root, to which no entry points, is never removed.
//!
//! # Invariants
//!
//! 1. Memory is freed only through [`Unlinked`]: after its entry was cleared and flushed.
//! 2. Each leaf and each table is decided on at most once.
//! 3. When a sweep is over, however it ends, everything that it unlinked is flushed and freed.

use sparsemem_core::{AddressSpace, LostBlocks, MetadataMemory};

use crate::descent::{Step, Stop};
use crate::page::{Page, Pages};
use crate::receipt::{Loose, Unlinked};
use crate::table::table_block;
use crate::{EntryFormat, Mapping, PageTable, Target, Unmapped};

/// The decision on a leaf or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It stays.
    Keep,
    /// It is unlinked, flushed and freed.
    Drop,
}

/// A leaf or a table that could be removed.
pub(crate) enum Found<'a> {
    /// A leaf, and whether the populate that is running made it.
    Leaf { mapping: &'a Mapping, is_fresh: bool },
    /// A table with only empty entries, and whether the populate that is running made it.
    EmptyTable { is_fresh: bool },
}

impl<F: EntryFormat> PageTable<F> {
    /// Calls `decide` with every leaf, and with every empty table, on the path to one of `pages`.
    ///
    /// If `decide` unwinds, its earlier decisions are carried out as if the sweep had ended there.
    pub(crate) fn sweep<E, D>(
        &self,
        env: &mut E,
        pages: Pages,
        lost: &mut LostBlocks,
        mut decide: D,
    ) -> Unmapped
    where
        E: MetadataMemory + AddressSpace + ?Sized,
        D: FnMut(Found<'_>) -> Fate,
    {
        let mut sweep =
            Sweep { tree: *self, env, lost, pages, batch: Unlinked::none(), done: Unmapped::default() };
        let mut page = pages.first();
        while page < pages.end() {
            page = sweep.visit(page, &mut decide);
        }
        // Dropping it releases the last batch.
        sweep.done
    }
}

/// A sweep in progress; dropping it flushes and frees the blocks that it unlinked.
struct Sweep<'m, F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> {
    tree: PageTable<F>,
    env: &'m mut E,
    lost: &'m mut LostBlocks,
    pages: Pages,
    batch: Unlinked,
    done: Unmapped,
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> Drop for Sweep<'_, F, E> {
    /// This runs also where a callback unwinds: invariant 3.
    fn drop(&mut self) {
        self.batch.release::<F, E>(self.env, self.lost);
    }
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> Sweep<'_, F, E> {
    /// Handles the entry at which the walk to `page` ends; returns the page to continue with.
    fn visit(&mut self, page: Page, decide: &mut impl FnMut(Found<'_>) -> Fate) -> Page {
        let Stop { parent, last } = self.tree.stop(self.env, page);
        if let Some(mapping) = last.mapping() {
            self.leaf(&last, &mapping, decide);
        }
        let next = last.slot().end();
        let Some(parent) = parent else { return next };
        let leaves_table = next >= self.pages.end() || next == parent.slot().end();
        if leaves_table && self.table(&parent, &last, decide) == Fate::Drop {
            // The same page again: its walk now ends one level higher.
            return page;
        }
        next
    }

    fn leaf(&mut self, step: &Step<F>, mapping: &Mapping, decide: &mut impl FnMut(Found<'_>) -> Fate) {
        match decide(Found::Leaf { mapping, is_fresh: step.is_fresh() }) {
            Fate::Keep => self.done.kept.add(step.level(), mapping.size),
            Fate::Drop => {
                let Mapping { phys, origin, size, .. } = *mapping;
                match origin {
                    Some(_) => self.done.dropped.add(step.level(), size),
                    None => self.done.shared += 1,
                }
                self.unlink(step, Loose { stale: step.slot(), phys, layout: size.layout(), origin });
            }
        }
    }

    /// Decides on the table of `last`, to which the entry of `parent` points.
    fn table(
        &mut self,
        parent: &Step<F>,
        last: &Step<F>,
        decide: &mut impl FnMut(Found<'_>) -> Fate,
    ) -> Fate {
        let Target::Table { at, origin } = parent.target() else { return Fate::Keep };
        if !last.is_table_empty(self.env) {
            return Fate::Keep;
        }
        let fate = decide(Found::EmptyTable { is_fresh: parent.is_fresh() });
        if fate == Fate::Drop {
            self.done.nr_tables += 1;
            // The processor finds its cached entries of a table by any address in the table's slot. So the part of the
            // slot in the swept range is enough, and the flush does not reach into other addresses.
            let stale = parent.slot().intersection(self.pages).unwrap_or(parent.slot());
            let origin = Some(origin);
            self.unlink(parent, Loose { stale, phys: at, layout: table_block::<F>(), origin });
        }
        fate
    }

    fn unlink(&mut self, step: &Step<F>, loose: Loose) {
        self.tree.clear(self.env, step);
        self.batch.add::<F, E>(loose, self.env, self.lost);
    }
}

/// The end of a populate: its entries become permanent, or go. Only it makes entries that are FRESH.
impl<F: EntryFormat> PageTable<F> {
    /// Clears the FRESH bits of every entry on the path to one of `pages`.
    pub(crate) fn settle_fresh<E: AddressSpace + ?Sized>(&self, env: &mut E, pages: Pages) {
        let mut page = pages.first();
        while page < pages.end() {
            page = self.settle_path(env, page);
        }
    }

    /// Clears the FRESH bits of every entry on the path to `page`; returns the page after the last entry's slot.
    fn settle_path<E: AddressSpace + ?Sized>(&self, env: &mut E, page: Page) -> Page {
        let mut step = self.root_step(env, page);
        loop {
            if step.is_fresh() {
                self.settle(env, &step);
            }
            match step.child(env) {
                Some(child) => step = child,
                None => return step.slot().end(),
            }
        }
    }

    /// Unlinks, flushes and frees every FRESH leaf and table on the path to one of `pages`.
    ///
    /// Leaves are removed before the tables they are in, so a fresh table is empty when the sweep leaves it. A table
    /// that was there before stays, also if it is empty.
    pub(crate) fn drop_fresh<E>(&self, env: &mut E, pages: Pages, lost: &mut LostBlocks)
    where
        E: MetadataMemory + AddressSpace + ?Sized,
    {
        let _ = self.sweep(env, pages, lost, |found| {
            let (Found::Leaf { is_fresh, .. } | Found::EmptyTable { is_fresh }) = found;
            if is_fresh { Fate::Drop } else { Fate::Keep }
        });
    }
}
