//! The handle of a tree of tables, and the lookup of one address in it.

use core::marker::PhantomData;

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr, PhysMap, VirtAddr, VirtRange};

use crate::page::Page;
use crate::{EntryFormat, Level, Root};

/// A handle of a tree of page tables whose entries have the format `F`.
///
/// It owns nothing: copies refer to the same tables, and dropping it frees none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTable<F> {
    pub(crate) root: PhysAddr,
    pub(crate) depth: PagingDepth,
    format: PhantomData<F>,
}

/// One leaf: a range of addresses and the memory that they lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// All addresses that the leaf maps; the length of the range is `size`.
    ///
    /// The range of the last leaf of the address space is one byte short: no [`VirtRange`] ends at 2^64.
    pub range: VirtRange,
    /// The first byte of the memory that they lead to.
    pub phys: PhysAddr,
    /// The origin of that memory; `None` if it is a shared page, which belongs to none of the leaves that map it.
    pub origin: Option<Origin>,
    /// The size of the leaf.
    pub size: LeafSize,
    /// The leaf's entry, as the processor reads it.
    pub entry: u64,
}

/// The result of [`PageTable::walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The address is mapped by this leaf.
    Leaf(Mapping),
    /// The address is not mapped.
    Absent {
        /// The addresses that the empty entry stands for: none of them is mapped.
        hole: VirtRange,
        /// The level of the table that the empty entry is in.
        level: Level,
    },
    /// The processor cannot translate the address at this depth.
    NonCanonical,
}

impl<F: EntryFormat> PageTable<F> {
    /// A handle of the tables below `root`.
    ///
    /// # Safety
    ///
    /// For as long as this handle and its copies are used:
    /// 1. `root` is the address of the live root table of a tree with `depth` levels of format `F`, with an entry for
    ///    each of the addresses of [`EntryFormat::root`], and every environment that the handle is used with reaches all
    ///    tables of the tree through its [`PhysMap`].
    /// 2. The tree is well formed: an entry that is not empty points to memory or to a live table of the level below,
    ///    and holds the origin of its target; no table is reached on two paths; no entry has bits of
    ///    [`FRESH`](EntryFormat::FRESH). Entries change through atomics only.
    /// 3. While the handle populates or unmaps, no other code changes entries on the path to that range, or gives their
    ///    tables back; tables and leaves that are found there may be given back to the environment that the call was
    ///    given.
    /// 4. If other code reads the tables meanwhile (another processor, with an environment of its own), the memory
    ///    of a table that is given back is not used otherwise until every such read that began earlier has ended.
    #[inline]
    #[must_use]
    pub const unsafe fn new(root: PhysAddr, depth: PagingDepth) -> Self {
        Self { root, depth, format: PhantomData }
    }

    /// The physical address of the root table.
    #[inline]
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.root
    }

    /// The depth of the tables: their number of levels.
    #[inline]
    #[must_use]
    pub const fn depth(&self) -> PagingDepth {
        self.depth
    }

    /// The level of the root table; the lowest if the processor does not have the depth.
    #[inline]
    #[must_use]
    pub fn root_level(&self) -> Level {
        self.shape().level()
    }

    /// Looks up the byte at `at`.
    ///
    /// # Concurrency
    ///
    /// Safe while another processor populates or unmaps. The result may be stale when it is used.
    ///
    /// # Cost
    ///
    /// One load for each level down to the leaf or hole.
    #[must_use]
    pub fn walk<E: PhysMap + ?Sized>(&self, env: &E, at: VirtAddr) -> Walk {
        if !self.shape().is_canonical(at) {
            return Walk::NonCanonical;
        }
        let last = self.stop(env, Page::containing::<F>(at)).last;
        match last.mapping() {
            Some(mapping) => Walk::Leaf(mapping),
            None => Walk::Absent { hole: last.slot().bytes::<F>(), level: last.level() },
        }
    }

    /// The level of the root table, and the addresses that can be translated.
    #[inline]
    #[must_use]
    pub fn shape(&self) -> Root {
        F::root(self.depth)
    }
}
