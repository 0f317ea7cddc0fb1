//! Mapping memory into a range, all of it or none.
//!
//! The loop looks at one page at a time. Where the walk ends in a leaf, the page is mapped already. Where it ends in
//! an empty entry, that entry becomes a leaf or gets a table, and in the latter case the same page is looked at again
//! one level further down. There is no per-level code and no "end of this table". At the end, what was made settles, or it
//! goes.
//!
//! # Invariants
//!
//! 1. Every entry that is published here is FRESH until the call has succeeded, so what has to be undone can be told
//!    from what was there before.
//! 2. A block from the environment is in an entry before anything else can fail, or is given back at once.
//! 3. A run that is dropped before it succeeded is undone: after an error, and where the policy unwinds. After success and
//!    after an undo no entry on the way to any of the pages is FRESH.

use sparsemem_core::{
    AddressSpace, Block, LeafSize, LostBlocks, MetadataMemory, NodeId, Origin, OutOfMemory, VirtRange,
};

use crate::descent::Step;
use crate::page::{Page, Pages};
use crate::sweep::{Fate, Found};
use crate::table::{Table, leaf_block, table_block};
use crate::{EntryFormat, LeafCounts, PageTable, PopulateError, Wanted};

/// Whether a large leaf may be put in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Put a leaf there, even if only a part of the slot was asked for.
    Place,
    /// Go on with smaller leaves.
    Smaller,
}

/// What a successful [`PageTable::populate`] made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "says how much memory now belongs to the tables"]
pub struct Populated {
    leaves: LeafCounts,
    nr_tables: u64,
    /// A bit for each origin, by its code, that a leaf came from, whether it was made or found.
    origins: u8,
    /// Leaves that were there before.
    found: u64,
}

impl Populated {
    /// The leaves that were made.
    #[must_use]
    pub const fn leaves(self) -> LeafCounts {
        self.leaves
    }

    /// The number of table pages that were made.
    #[must_use]
    pub const fn nr_tables(self) -> u64 {
        self.nr_tables
    }

    /// Whether no leaf was there before: all of the range is new memory.
    #[must_use]
    pub const fn is_all_new(self) -> bool {
        self.found == 0
    }

    /// Whether the memory of a leaf, made or found, came from `origin`.
    #[must_use]
    pub const fn has_leaf_from(self, origin: Origin) -> bool {
        self.origins & 1 << origin.code() != 0
    }

    /// Whether everything was there already.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.leaves.total() == 0 && self.nr_tables == 0
    }
}

impl<F: EntryFormat> PageTable<F> {
    /// Maps every byte of `range` that is not mapped yet, with zeroed memory, on `node` if it can be had there; ends
    /// inside a page are rounded outwards.
    ///
    /// An existing leaf is left alone. For an empty slot of a large leaf (1 GiB, 2 MiB), aligned to its size, `policy`
    /// is asked whether a leaf of that size may take it, also if `range` covers only a part of the slot. If it may not,
    /// or if there is no memory for a leaf of that size, the slot gets a table and smaller leaves. A table that exists
    /// already is always used.
    ///
    /// When it returns, the calling processor may use what is mapped. A block that has to go back, but that `env` does
    /// not take, is counted in `lost`.
    ///
    /// # Errors
    ///
    /// [`PopulateError`], and nothing is left behind: what the call linked is unlinked, flushed and given back, and
    /// all tables hold what they held before.
    ///
    /// # Panics
    ///
    /// Only if `policy` does. Then nothing is left behind either.
    ///
    /// # Concurrency
    ///
    /// Walks may go on elsewhere, and may see what a call that fails takes away again.
    ///
    /// # Cost
    ///
    /// Two walks for each leaf in `range`, old or new, and one for each new table.
    pub fn populate<E, P>(
        &self,
        env: &mut E,
        node: NodeId,
        range: VirtRange,
        mut policy: P,
        lost: &mut LostBlocks,
    ) -> Result<Populated, PopulateError>
    where
        E: MetadataMemory + AddressSpace + ?Sized,
        P: FnMut(VirtRange, LeafSize) -> Choice,
    {
        let pages = self.halves().pages::<F>(range).map_err(|bad| PopulateError::bad_range(bad, range))?;
        let at = pages.first();
        let mut run = Run { tree: *self, env, node, lost, pages, at, made: Populated::default() };
        // Where this returns or unwinds, dropping the run undoes it.
        run.fill(&mut policy)?;
        Ok(run.commit())
    }
}

/// One populate in progress; dropping it takes back what it made.
struct Run<'m, F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> {
    tree: PageTable<F>,
    env: &'m mut E,
    node: NodeId,
    lost: &'m mut LostBlocks,
    pages: Pages,
    /// The page that is looked at: nothing after it was touched.
    at: Page,
    /// What was made and is not lasting yet.
    made: Populated,
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> Drop for Run<'_, F, E> {
    /// Takes back what was done up to and including the page that failed.
    fn drop(&mut self) {
        if !self.made.is_nothing() {
            let touched = Pages::inclusive(self.pages.first(), self.at);
            self.tree.drop_fresh(self.env, touched, self.lost);
        }
    }
}

/// What became of an attempt to put a leaf into an empty slot.
enum Attempt {
    Placed,
    Smaller,
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> Run<'_, F, E> {
    fn fill(&mut self, policy: &mut impl FnMut(VirtRange, LeafSize) -> Choice) -> Result<(), PopulateError> {
        while self.at < self.pages.end() {
            let step = self.tree.stop(self.env, self.at).last;
            match self.place(&step, policy)? {
                Attempt::Placed => self.at = step.slot().end(),
                Attempt::Smaller => self.grow(&step)?,
            }
        }
        Ok(())
    }

    /// Puts a leaf into the slot of `step`, unless there is one.
    fn place(
        &mut self,
        step: &Step<F>,
        policy: &mut impl FnMut(VirtRange, LeafSize) -> Choice,
    ) -> Result<Attempt, PopulateError> {
        if let Some(found) = step.mapping() {
            self.made.found += 1;
            self.made.origins |= 1 << found.origin.code();
            return Ok(Attempt::Placed);
        }
        let Some(size) = F::leaf_size(step.level()) else { return Ok(Attempt::Smaller) };
        if step.level().below().is_none() {
            return self.smallest_leaf(step, size);
        }
        match policy(step.slot().bytes::<F>(), size) {
            Choice::Place => self.large_leaf(step, size),
            Choice::Smaller => Ok(Attempt::Smaller),
        }
    }

    fn smallest_leaf(&mut self, step: &Step<F>, size: LeafSize) -> Result<Attempt, PopulateError> {
        match self.env.alloc_memmap(leaf_block(size), self.node) {
            Ok(block) => self.link_leaf(step, size, block),
            Err(error) => Err(self.out_of_memory(Wanted::Leaf(size), error)),
        }
    }

    fn large_leaf(&mut self, step: &Step<F>, size: LeafSize) -> Result<Attempt, PopulateError> {
        match self.env.alloc_memmap(leaf_block(size), self.node) {
            Ok(block) => self.link_leaf(step, size, block),
            Err(_) => Ok(Attempt::Smaller),
        }
    }

    fn link_leaf(&mut self, step: &Step<F>, size: LeafSize, block: Block) -> Result<Attempt, PopulateError> {
        let block = self.checked(block, Wanted::Leaf(size))?;
        let (phys, origin) = (block.phys(), block.origin());
        self.tree.publish(self.env, step, F::leaf(phys, size, origin));
        self.made.leaves.add(size);
        self.made.origins |= 1 << origin.code();
        let at = step.slot().first().start::<F>();
        match self.env.linked(at, phys, size) {
            Ok(()) => Ok(Attempt::Placed),
            Err(refused) => Err(PopulateError::LinkRefused { size, refused }),
        }
    }

    /// Puts an empty table into the slot of `step`.
    fn grow(&mut self, step: &Step<F>) -> Result<(), PopulateError> {
        let what = Wanted::Table(step.level().below().unwrap_or(step.level()));
        let block = self.env.alloc_zeroed(table_block::<F>(), self.node);
        let block = block.map_err(|error| self.out_of_memory(what, error))?;
        let block = self.checked(block, what)?;
        // SAFETY: it is a page of the smallest size, as aligned as it is large, that nobody else knows of.
        let table = unsafe { Table::<F>::at(block.start()) };
        table.empty_out();
        self.tree.publish(self.env, step, F::table(block.phys(), block.origin()));
        self.made.nr_tables += 1;
        Ok(())
    }

    /// The block, if an entry can point to it; otherwise it goes back.
    fn checked(&mut self, block: Block, what: Wanted) -> Result<Block, PopulateError> {
        let (at, phys) = (self.at.start::<F>(), block.phys());
        let error = if !phys.is_aligned(block.layout().size() as u64) {
            PopulateError::Misaligned { at, phys, what }
        } else if !F::holds(phys) {
            PopulateError::OutOfReach { at, phys, what }
        } else {
            return Ok(block);
        };
        if let Err(refused) = self.env.free(block) {
            self.lost.note(refused.error);
        }
        Err(error)
    }

    fn out_of_memory(&self, what: Wanted, error: OutOfMemory) -> PopulateError {
        PopulateError::OutOfMemory { at: self.at.start::<F>(), what, error }
    }

    /// Makes what was done lasting.
    fn commit(mut self) -> Populated {
        if !self.made.is_nothing() {
            self.tree.settle_fresh(self.env, self.pages);
            F::published();
        }
        // Nothing is left to take back.
        core::mem::take(&mut self.made)
    }
}

impl<F: EntryFormat> PageTable<F> {
    /// Takes the FRESH bits off every entry on the way to one of `pages`.
    pub(crate) fn settle_fresh<E: AddressSpace + ?Sized>(&self, env: &mut E, pages: Pages) {
        let mut page = pages.first();
        while page < pages.end() {
            page = self.settle_way(env, page);
        }
    }

    /// Takes the FRESH bits off every entry on the way to `page`; returns the page after the last entry's slot.
    fn settle_way<E: AddressSpace + ?Sized>(&self, env: &mut E, page: Page) -> Page {
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

    /// Unlinks, flushes and frees every FRESH leaf and table on the way to one of `pages`.
    ///
    /// Leaves go before the tables they are in, so a fresh table is empty when the sweep leaves it. A table that was
    /// there before stays, also if it is empty.
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
