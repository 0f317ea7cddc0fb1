//! Leaves that are made aside, in tables that no processor walks, and then take the places of leaves in use.
//!
//! All memory is allocated, and may be filled, before the first entry in use changes; after that nothing can fail. The tables
//! aside are an ordinary tree of the same depth, so that a leaf has the same path in both. Where a large leaf is in use,
//! the table of smaller ones aside takes its place as a whole, with one store.
//!
//! # Invariants
//!
//! 1. A leaf or a table is in the tree aside, or in the one in use, never in both: when the exchange is over, the tree aside
//!    has only tables without leaves, and they are freed.
//! 2. The memory of a leaf that was in use is freed only after a flush, as in `sweep`.

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LinkRefused, LostBlocks, MetadataMemory, NodeId, Origin, OutOfMemory,
    PhysMap, Rejected, VirtAddr, VirtRange, forward_to_field,
};

use crate::page::Page;
use crate::plan::Populated;
use crate::receipt::{Loose, Unlinked};
use crate::table::{Table, table_block};
use crate::{
    EntryFormat, Fate, InUse, LeafCounts, Mapping, PageTable, Plan, PopulateError, StageError, Walk,
};

/// Leaves that are not in use yet.
#[must_use = "its memory leaks unless it is exchanged or discarded"]
#[derive(Debug)]
pub struct Staging<F> {
    tree: PageTable<F>,
    root_origin: Origin,
    made: Populated,
}

/// The leaves that changed places, and the tables that came with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "reports how much memory belongs to the tables now, and no longer"]
pub struct Exchanged {
    made: Populated,
    dropped: LeafCounts,
    nr_tables: u64,
}

impl Exchanged {
    /// The leaves and tables that were made aside.
    pub const fn made(self) -> Populated {
        self.made
    }

    /// The leaves whose memory was given back.
    #[must_use]
    pub const fn dropped(self) -> LeafCounts {
        self.dropped
    }

    /// The number of tables that are in use now and were not before.
    #[must_use]
    pub const fn nr_tables(self) -> u64 {
        self.nr_tables
    }
}

impl<F: EntryFormat> PageTable<F> {
    /// A place for leaves that are to take the places of leaves in use.
    ///
    /// # Errors
    ///
    /// [`StageError`]: the format does not allow it, or there is no memory for a table.
    pub fn stage<E>(&self, env: &mut E, node: NodeId) -> Result<Staging<F>, StageError>
    where
        E: MetadataMemory + AddressSpace + ?Sized,
    {
        if F::IN_USE == InUse::BreaksFirst {
            return Err(StageError::InUse);
        }
        let block = env.alloc_zeroed(table_block::<F>(), node).map_err(StageError::OutOfMemory)?;
        let level = self.root_level();
        // SAFETY: a page of the smallest size that no other code knows; a root has at most so many entries as fit one.
        unsafe { Table::at(block.start()) }.empty_out(1 << F::index_bits(level), F::empty(level));
        // SAFETY: 1. and 2. The root is live until the staging is used up, is empty, and is as large as any. 3. and 4. No other
        // code knows it.
        let tree = unsafe { PageTable::new(block.phys(), self.depth) };
        Ok(Staging { tree, root_origin: block.origin(), made: Populated::default() })
    }
}

impl<F: EntryFormat> Staging<F> {
    /// Makes leaves of the smallest size for `range`, as a plan decides ([`PageTable::populate_as`]).
    ///
    /// # Errors
    ///
    /// [`PopulateError`]; what was made before stays.
    pub fn put<E, P>(
        &mut self,
        env: &mut E,
        node: NodeId,
        range: VirtRange,
        plan: &mut P,
        lost: &mut LostBlocks,
    ) -> Result<(), PopulateError>
    where
        E: MetadataMemory + AddressSpace,
        P: Plan,
    {
        let made = self.tree.populate_as(&mut Aside { env }, node, range, plan, lost)?;
        self.made.add(made);
        Ok(())
    }

    /// The leaf that was made for the byte at `at`.
    #[must_use]
    pub fn leaf<E: PhysMap>(&self, env: &E, at: VirtAddr) -> Option<Mapping> {
        match self.tree.walk(env, at) {
            Walk::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// Gives everything back; `range` has all leaves that were made. `gone` is told of each.
    pub fn discard<E>(self, env: &mut E, range: VirtRange, gone: impl FnMut(&Mapping), lost: &mut LostBlocks)
    where
        E: MetadataMemory + AddressSpace,
    {
        let _ = self.give_back(env, range, gone, lost);
    }

    /// Gives leaves, tables and root back; returns the number of tables.
    fn give_back<E>(
        self,
        env: &mut E,
        range: VirtRange,
        mut gone: impl FnMut(&Mapping),
        lost: &mut LostBlocks,
    ) -> u64
    where
        E: MetadataMemory + AddressSpace,
    {
        let keep = |leaf: &Mapping| {
            gone(leaf);
            Fate::Drop
        };
        let unmapped = self.tree.unmap(&mut Aside { env }, range, keep, lost);
        let start = env.phys_to_virt(self.tree.root);
        // SAFETY: the root was allocated with this layout and origin, and no table or leaf is left below it.
        let root = unsafe { Block::from_parts(start, self.tree.root, table_block::<F>(), self.root_origin) };
        if let Err(refused) = env.free(root) {
            lost.note(refused.error);
        }
        unmapped.map_or(0, crate::Unmapped::nr_tables)
    }

    /// Puts every leaf that was made into the place of the one in use, in `live`; `range` has all of them. Where a larger leaf
    /// is in use, all of its addresses have one here. `gone` is told of each leaf that was in use.
    ///
    /// The memory of those is given back after a flush, unless it is shared. Addresses that are not mapped in `live` stay so.
    ///
    /// # Concurrency
    ///
    /// Until it returns, other processors use either the old or the new leaf of an address, and nobody may write to their
    /// memory. Walks may run at the same time.
    ///
    /// # Cost
    ///
    /// Two walks for each leaf; a flush for each 32 leaves that adjoin.
    pub fn exchange<E>(
        self,
        live: &PageTable<F>,
        env: &mut E,
        range: VirtRange,
        mut gone: impl FnMut(&Mapping),
        lost: &mut LostBlocks,
    ) -> Exchanged
    where
        E: MetadataMemory + AddressSpace,
    {
        let Ok(pages) = live.shape().pages::<F>(range) else {
            debug_assert!(false, "the range was canonical when its leaves were made");
            return Exchanged::default();
        };
        let (aside, made) = (self.tree, self.made);
        let mut exchange = Exchange {
            live: *live,
            aside,
            env,
            lost,
            batch: Unlinked::none(),
            dropped: LeafCounts::default(),
        };
        let mut page = pages.first();
        while page < pages.end() {
            page = exchange.visit(page, &mut gone);
        }
        exchange.batch.release::<F, E>(exchange.env, exchange.lost);
        let dropped = exchange.dropped;
        let unused = self.give_back(env, range, |_| (), lost);
        Exchanged { made, dropped, nr_tables: made.nr_tables() - unused }
    }
}

/// An exchange in progress.
struct Exchange<'m, F: EntryFormat, E: MetadataMemory + AddressSpace> {
    live: PageTable<F>,
    aside: PageTable<F>,
    env: &'m mut E,
    lost: &'m mut LostBlocks,
    batch: Unlinked,
    dropped: LeafCounts,
}

impl<F: EntryFormat, E: MetadataMemory + AddressSpace> Exchange<'_, F, E> {
    /// Exchanges the leaf in use for `page`, if there is another one; returns the page to continue with.
    fn visit(&mut self, page: Page, gone: &mut impl FnMut(&Mapping)) -> Page {
        let end = self.aside.stop(self.env, page).last;
        let old = self.live.stop(self.env, page).last;
        let (Some(_), Some(mapping)) = (end.mapping(), old.mapping()) else { return end.slot().end() };
        // A leaf, or the table in which all leaves are that take the place of a larger one.
        let Some(new) = self.aside.steps(self.env, page).find(|step| step.level() == old.level()) else {
            return end.slot().end();
        };
        self.live.publish(self.env, &old, new.entry());
        self.aside.clear(&mut Aside { env: self.env }, &new);
        gone(&mapping);
        let Mapping { phys, origin, size, .. } = mapping;
        if origin.is_some() {
            self.dropped.add(old.level(), size);
        }
        let loose = Loose { stale: old.slot(), phys, layout: size.layout(), origin };
        self.batch.add::<F, E>(loose, self.env, self.lost);
        old.slot().end()
    }
}

/// The memory of an environment, with tables that no processor walks: there is nothing to report or to flush.
struct Aside<'e, E> {
    env: &'e mut E,
}

// SAFETY: the borrow keeps the environment in its place.
forward_to_field!(unsafe impl ['e, E: PhysMap] PhysMap for Aside<'e, E> => env);

// SAFETY: every block is the environment's own.
unsafe impl<E: MetadataMemory> MetadataMemory for Aside<'_, E> {
    fn alloc_zeroed(&mut self, layout: core::alloc::Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.env.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: core::alloc::Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.env.alloc_memmap(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.env.free(block)
    }
}

// SAFETY: no processor walks the tables that are changed through it, so none holds a translation from them; root and depth are
// asked of the environment.
unsafe impl<E: AddressSpace> AddressSpace for Aside<'_, E> {
    fn root(&self) -> sparsemem_core::PhysAddr {
        self.env.root()
    }

    fn depth(&self) -> sparsemem_core::PagingDepth {
        self.env.depth()
    }

    fn linked(
        &mut self,
        _: VirtAddr,
        _: sparsemem_core::PhysAddr,
        _: sparsemem_core::LeafSize,
    ) -> Result<(), LinkRefused> {
        Ok(())
    }

    fn flush(&mut self, _: VirtRange) {}
}
