//! Taking leaves and empty tables out of a range: the common part of unmapping and of undoing.
//!
//! The sweep goes through the pages in order. It decides on each leaf it meets, and on each table when it leaves it,
//! if the table is empty by then. A table that goes makes the entry above it absent, and the walk to the same page
//! then ends one level higher, where the same question is asked of the table above. So tables go bottom up, and the
//! root, which no entry points to, never does.
//!
//! # Invariants
//!
//! 1. A frame is freed only through [`Unlinked`]: after its entry was cleared and flushed.
//! 2. Each leaf and each table is decided on at most once.

use crate::descent::{Step, Stop};
use crate::entry::{Entry, Target};
use crate::page::{Page, Pages};
use crate::receipt::{Loose, Unlinked, What};
use crate::{Mapping, PageTable, TableMemory, Unmapped};

/// What becomes of something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It stays.
    Keep,
    /// It is unlinked, flushed and freed.
    Drop,
}

/// Something that could go.
pub(crate) enum Found<'a> {
    /// A leaf, and its entry.
    Leaf { mapping: &'a Mapping, entry: Entry },
    /// A table in which nothing is left, and the entry that points to it.
    EmptyTable { entry: Entry },
}

impl PageTable {
    /// Asks `decide` about every leaf, and about every empty table, on the way to one of `pages`.
    pub(crate) fn sweep<M, D>(&self, mem: &mut M, pages: Pages, decide: D) -> Unmapped
    where
        M: TableMemory + ?Sized,
        D: FnMut(Found<'_>) -> Fate,
    {
        let batch = Unlinked::none();
        let mut sweep = Sweep { tree: *self, mem, pages, decide, batch, done: Unmapped::default() };
        let mut page = pages.first();
        while page < pages.end() {
            page = sweep.visit(page);
        }
        sweep.finish()
    }
}

struct Sweep<'m, M: ?Sized, D> {
    tree: PageTable,
    mem: &'m mut M,
    pages: Pages,
    decide: D,
    batch: Unlinked,
    done: Unmapped,
}

impl<M, D> Sweep<'_, M, D>
where
    M: TableMemory + ?Sized,
    D: FnMut(Found<'_>) -> Fate,
{
    /// Handles the entry at which the walk to `page` ends; returns the page to go on with.
    fn visit(&mut self, page: Page) -> Page {
        let Stop { parent, last } = self.tree.stop(self.mem, page);
        if let Some(mapping) = last.mapping() {
            self.leaf(&last, &mapping);
        }
        let next = last.slot().end();
        let leaves_table = next >= self.pages.end() || next == last.table_slot().end();
        match parent {
            // The same page again: its walk now ends one level higher.
            Some(parent) if leaves_table && self.table(&parent, &last) == Fate::Drop => page,
            _ => next,
        }
    }

    fn leaf(&mut self, step: &Step, mapping: &Mapping) {
        let fate = (self.decide)(Found::Leaf { mapping, entry: step.entry() });
        match fate {
            Fate::Keep => self.done.kept.add(mapping.size),
            Fate::Drop => {
                self.done.dropped.add(mapping.size);
                self.unlink(
                    step,
                    Loose { stale: step.slot(), what: What::Leaf(mapping.size, mapping.frame) },
                );
            }
        }
    }

    /// Decides on the table of `last`, to which the entry of `parent` points.
    fn table(&mut self, parent: &Step, last: &Step) -> Fate {
        let Target::Table(frame) = parent.target() else { return Fate::Keep };
        if !last.is_table_empty(self.mem) {
            return Fate::Keep;
        }
        let fate = (self.decide)(Found::EmptyTable { entry: parent.entry() });
        if fate == Fate::Drop {
            self.done.nr_tables += 1;
            // The processor finds what it cached about a table by any address in the table's slot. So the part of
            // the slot in the swept range will do, and the flush does not reach into addresses of others.
            let stale = parent.slot().intersection(self.pages).unwrap_or(parent.slot());
            self.unlink(parent, Loose { stale, what: What::Table(frame) });
        }
        fate
    }

    fn unlink(&mut self, step: &Step, loose: Loose) {
        self.tree.clear(self.mem, step);
        if let Err(loose) = self.batch.push(loose) {
            self.release();
            // An empty batch has room.
            let _ = self.batch.push(loose);
        }
    }

    /// Flushes and frees what was unlinked so far.
    fn release(&mut self) {
        let batch = core::mem::replace(&mut self.batch, Unlinked::none());
        batch.flush(self.mem).free(self.mem);
    }

    fn finish(mut self) -> Unmapped {
        self.release();
        self.done
    }
}
