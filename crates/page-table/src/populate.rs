//! Maps memory into a range, all of it or none.
//!
//! The loop handles one page at a time. If its walk ends in a leaf, the page is mapped already. If it ends in
//! an empty entry, that entry becomes a leaf or gets a table, and in the latter case the loop handles the same page
//! again one level further down. There is no code per level and none for the end of a table. At the end, the entries
//! that were made become permanent, or they are removed.
//!
//! # Invariants
//!
//! 1. Every entry that is published here is FRESH until the call has succeeded, which distinguishes the entries that an
//!    undo has to remove from older ones.
//! 2. A block from the environment is in an entry before anything else can fail, or is given back at once.
//! 3. A run that is dropped before it succeeded is undone: after an error, and where the policy unwinds. After success
//!    and after an undo no entry on the path to any of the pages is FRESH.

use core::alloc::Layout;

use sparsemem_core::{
    AddressSpace, Block, LeafSize, LostBlocks, MetadataMemory, NodeId, OutOfMemory, PhysAddr, VirtRange,
};

use crate::descent::Step;
use crate::page::{Page, Pages};
use crate::plan::New;
use crate::table::{Table, page_size, table_block};
use crate::{Choice, EntryFormat, Level, Mapping, PageTable, Plan, PopulateError, Populated, Small, Wanted};

impl<F: EntryFormat> PageTable<F> {
    /// Maps every byte of `range` that is not mapped yet, with zeroed memory, on `node` if the environment has memory
    /// there; ends inside a page are rounded outwards.
    ///
    /// An existing leaf stays as it is. For an empty slot of a large leaf (1 GiB, 2 MiB), aligned to its size, `policy`
    /// decides whether a leaf of that size may take it, also if `range` covers only a part of the slot. If it may not,
    /// or if there is no memory for a leaf of that size, the slot gets a table and smaller leaves. A table that exists
    /// already is always used.
    ///
    /// When it returns, the calling processor may use the mapped memory. Blocks that `env` refuses when the call gives
    /// them back are counted in `lost`.
    ///
    /// # Errors
    ///
    /// [`PopulateError`]; everything that the call linked is then unlinked, flushed and given
    /// back, and all tables have their former entries.
    ///
    /// # Panics
    ///
    /// Only if `policy` does. Then the call is undone, too.
    ///
    /// # Concurrency
    ///
    /// Walks may run at the same time, and may see entries that a failing call removes again.
    ///
    /// # Cost
    ///
    /// Two walks for each leaf in `range`, old or new, and one for each new table.
    pub fn populate<E, P>(
        &self,
        env: &mut E,
        node: NodeId,
        range: VirtRange,
        policy: P,
        lost: &mut LostBlocks,
    ) -> Result<Populated, PopulateError>
    where
        E: MetadataMemory + AddressSpace + ?Sized,
        P: FnMut(VirtRange, LeafSize) -> Choice,
    {
        self.populate_as(env, node, range, &mut New(policy), lost)
    }

    /// The same, by a plan that may also map pages of its own choice, which several leaves share, and refuse leaves that
    /// are there.
    ///
    /// An undo, and an [`unmap`](Self::unmap) later, remove such a leaf and leave its page as it is.
    ///
    /// # Errors
    ///
    /// As [`populate`](Self::populate), and [`PopulateError::Mapped`].
    ///
    /// # Panics
    ///
    /// # Concurrency
    ///
    /// # Cost
    ///
    /// All three as [`populate`](Self::populate).
    pub fn populate_as<E, P>(
        &self,
        env: &mut E,
        node: NodeId,
        range: VirtRange,
        plan: &mut P,
        lost: &mut LostBlocks,
    ) -> Result<Populated, PopulateError>
    where
        E: MetadataMemory + AddressSpace + ?Sized,
        P: Plan,
    {
        let pages = self.shape().pages::<F>(range).map_err(|bad| PopulateError::bad_range(bad, range))?;
        let at = pages.first();
        let mut run = Run { tree: *self, env, node, lost, pages, at, first: at, made: Populated::default() };
        // If this returns or unwinds, dropping the run undoes it.
        run.fill(plan)?;
        Ok(run.commit())
    }
}

/// One populate in progress; dropping it removes the entries that it made.
struct Run<'m, F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> {
    tree: PageTable<F>,
    env: &'m mut E,
    node: NodeId,
    lost: &'m mut LostBlocks,
    pages: Pages,
    /// The current page: no entry after it was changed.
    at: Page,
    /// The first page of the slots that were filled: a large leaf may begin before the range.
    first: Page,
    /// The leaves and tables that were made and are not permanent yet.
    made: Populated,
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> Drop for Run<'_, F, E> {
    /// Undoes the run up to and including the page that failed.
    fn drop(&mut self) {
        if !self.made.is_nothing() {
            let touched = Pages::inclusive(self.pages.first(), self.at);
            self.tree.drop_fresh(self.env, touched, self.lost);
        }
    }
}

/// The result of an attempt to put a leaf into an empty slot.
enum Attempt {
    Placed,
    Smaller,
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace + ?Sized> Run<'_, F, E> {
    fn fill(&mut self, plan: &mut impl Plan) -> Result<(), PopulateError> {
        while self.at < self.pages.end() {
            let step = self.tree.stop(self.env, self.at).last;
            match self.place(&step, plan)? {
                Attempt::Placed => self.at = step.slot().end(),
                Attempt::Smaller => self.grow(&step)?,
            }
        }
        Ok(())
    }

    /// Puts a leaf into the slot of `step`, unless there is one.
    fn place(&mut self, step: &Step<F>, plan: &mut impl Plan) -> Result<Attempt, PopulateError> {
        if let Some(found) = step.mapping() {
            return self.found(&found, plan);
        }
        if step.level() == Level::PTE {
            return match plan.small(step.slot().bytes::<F>()) {
                Small::New => self.smallest_leaf(step),
                Small::Shared(page) => self.shared_leaf(step, page),
            };
        }
        let Some(size) = F::leaf_size(step.level()) else { return Ok(Attempt::Smaller) };
        match plan.large(step.slot().bytes::<F>(), size) {
            Choice::Place => self.large_leaf(step, size),
            Choice::Smaller => Ok(Attempt::Smaller),
        }
    }

    /// Counts a leaf that is there, if the plan accepts it.
    fn found(&mut self, found: &Mapping, plan: &impl Plan) -> Result<Attempt, PopulateError> {
        if !plan.accepts(found) {
            return Err(PopulateError::Mapped { at: found.range.start() });
        }
        self.made.found += 1;
        self.made.origins |= found.origin.map_or(0, |origin| 1 << origin.code());
        Ok(Attempt::Placed)
    }

    #[inline]
    fn smallest_leaf(&mut self, step: &Step<F>) -> Result<Attempt, PopulateError> {
        let size = const { page_size::<F>() };
        match self.env.alloc_memmap(size.layout(), self.node) {
            Ok(block) => self.link_leaf(step, size, block),
            Err(error) => Err(self.out_of_memory(Wanted::Leaf(size), error)),
        }
    }

    fn large_leaf(&mut self, step: &Step<F>, size: LeafSize) -> Result<Attempt, PopulateError> {
        match self.env.alloc_memmap(size.layout(), self.node) {
            Ok(block) => self.link_leaf(step, size, block),
            Err(_) => Ok(Attempt::Smaller),
        }
    }

    #[inline]
    fn link_leaf(&mut self, step: &Step<F>, size: LeafSize, block: Block) -> Result<Attempt, PopulateError> {
        let block = self.checked(block, Wanted::Leaf(size))?;
        let (phys, origin, slot) = (block.phys(), block.origin(), step.slot());
        self.tree.publish(self.env, step, F::leaf(phys, step.level(), origin));
        self.made.leaves.add(step.level(), size);
        self.made.origins |= 1 << origin.code();
        self.first = self.first.min(slot.first());
        match self.env.linked(slot.first().start::<F>(), phys, size) {
            Ok(()) => Ok(Attempt::Placed),
            Err(refused) => Err(PopulateError::LinkRefused { size, refused }),
        }
    }

    /// Maps the smallest slot of `step` to a page that other leaves map too.
    fn shared_leaf(&mut self, step: &Step<F>, page: PhysAddr) -> Result<Attempt, PopulateError> {
        let size = const { page_size::<F>() };
        self.check(page, size.layout(), Wanted::Leaf(size))?;
        self.tree.publish(self.env, step, F::shared(page));
        self.made.shared += 1;
        match self.env.linked_shared(self.at.start::<F>(), page, size) {
            Ok(()) => Ok(Attempt::Placed),
            Err(refused) => Err(PopulateError::LinkRefused { size, refused }),
        }
    }

    /// Puts an empty table into the slot of `step`.
    fn grow(&mut self, step: &Step<F>) -> Result<(), PopulateError> {
        // The lowest level has leaves, so a slot that gets a table is never there.
        let below = step.level().below().unwrap_or(step.level());
        let what = Wanted::Table(below);
        let block = self.env.alloc_zeroed(table_block::<F>(), self.node);
        let block = block.map_err(|error| self.out_of_memory(what, error))?;
        let block = self.checked(block, what)?;
        // SAFETY: it is a page of the smallest size, as aligned as it is large, that no other code knows, and has room
        // for the entries of a table.
        let table = unsafe { Table::at(block.start()) };
        table.empty_out(1 << F::index_bits(below), F::empty(below));
        self.tree.publish(self.env, step, F::table(block.phys(), step.level(), block.origin()));
        self.made.nr_tables += 1;
        Ok(())
    }

    /// The block, if an entry can point to it; otherwise the block is given back.
    #[inline]
    fn checked(&mut self, block: Block, what: Wanted) -> Result<Block, PopulateError> {
        let Err(error) = self.check(block.phys(), block.layout(), what) else { return Ok(block) };
        if let Err(refused) = self.env.free(block) {
            self.lost.note(refused.error);
        }
        Err(error)
    }

    /// Checks that an entry can point to memory at `phys`.
    #[inline]
    fn check(&self, phys: PhysAddr, layout: Layout, what: Wanted) -> Result<(), PopulateError> {
        let at = self.at.start::<F>();
        if !phys.is_aligned(layout.size() as u64) {
            Err(PopulateError::Misaligned { at, phys, what })
        } else if !F::holds(phys) {
            Err(PopulateError::OutOfReach { at, phys, what })
        } else {
            Ok(())
        }
    }

    fn out_of_memory(&self, what: Wanted, error: OutOfMemory) -> PopulateError {
        PopulateError::OutOfMemory { at: self.at.start::<F>(), what, error }
    }

    /// Makes all entries of the run permanent.
    fn commit(mut self) -> Populated {
        if !self.made.is_nothing() {
            self.tree.settle_fresh(self.env, self.pages);
            F::published();
            // The slots that were filled end at the current page.
            self.env.published(Pages::between(self.first, self.at).bytes::<F>());
        }
        // Dropping the run has nothing left to undo.
        core::mem::take(&mut self.made)
    }
}
