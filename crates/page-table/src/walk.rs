//! The handle of a tree of tables, and looking up one address in it.

use x86_64::PhysAddr;
use x86_64::structures::paging::PageTableFlags;

use crate::page::Page;
use crate::{Depth, LeafSize, Level, TableMemory, TaggedFrame, VirtAddr, VirtRange};

/// A handle of a tree of page tables.
///
/// It owns nothing: copies stand for the same tables, and dropping it frees none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTable {
    pub(crate) root: PhysAddr,
    pub(crate) depth: Depth,
}

/// One leaf: a range of addresses and the memory behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The addresses that the leaf maps, all of them; as long as `size` says.
    pub range: VirtRange,
    /// The memory behind them.
    pub frame: TaggedFrame,
    /// The size of the leaf.
    pub size: LeafSize,
    /// The processor's flags of the leaf.
    pub flags: PageTableFlags,
}

/// What [`PageTable::walk`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The address is mapped by this leaf.
    Leaf(Mapping),
    /// The address is not mapped.
    Absent {
        /// The addresses that the absent entry stands for: none of them is mapped.
        hole: VirtRange,
        /// The level of the table that the absent entry is in.
        level: Level,
    },
    /// The processor cannot translate the address at this depth.
    NonCanonical,
}

impl PageTable {
    /// A handle of the tables below `root`.
    ///
    /// # Safety
    ///
    /// For as long as this handle and its copies are used:
    /// 1. `root` is the address of the live root table of a tree with `depth` levels, in every [`TableMemory`] that
    ///    the handle is used with.
    /// 2. The tree is well formed: an entry that is present points to memory or to a live table of the level below,
    ///    no table is reached on two ways, an absent entry is zero, and bit 58 of every entry is clear.
    /// 3. Where the handle populates or unmaps, nobody else changes entries or frees tables at that time; tables and
    ///    leaves that are found there may go to the `TableMemory`'s `free_table` and `free_leaf`.
    #[inline]
    #[must_use]
    pub const unsafe fn new(root: PhysAddr, depth: Depth) -> Self {
        Self { root, depth }
    }

    /// The physical address of the root table.
    #[inline]
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.root
    }

    /// How many levels the tables have.
    #[inline]
    #[must_use]
    pub const fn depth(&self) -> Depth {
        self.depth
    }

    /// Looks up the byte at `at`.
    ///
    /// # Concurrency
    ///
    /// Safe while another processor populates or unmaps. What is found may be gone by the time it is used.
    ///
    /// # Cost
    ///
    /// One load for each level down to the leaf or hole.
    #[must_use]
    pub fn walk<M: TableMemory + ?Sized>(&self, mem: &M, at: VirtAddr) -> Walk {
        if !self.depth.is_canonical(at) {
            return Walk::NonCanonical;
        }
        let last = self.stop(mem, Page::containing(at)).last;
        match last.mapping() {
            Some(mapping) => Walk::Leaf(mapping),
            None => Walk::Absent { hole: last.slot().bytes(), level: last.level() },
        }
    }
}
