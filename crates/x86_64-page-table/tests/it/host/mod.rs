//! Page tables in host memory, with a processor that remembers everything it was not told to forget.
//!
//! The crate's promises about order are checked where a broken one would do harm: whatever was ever linked stays "in
//! use by the processor" until a flush covers it at a time when the tables no longer hold it. Freeing something in use
//! fails.

mod check;
mod environment;
mod faults;

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use sparsemem_core::{LeafSize, LostBlocks, NodeId, Origin, PagingDepth, PhysAddr, VirtRange};
use sparsemem_page_table::{
    Choice, Fate, Mapping, PageTable, PopulateError, Populated, UnmapError, Unmapped,
};
use sparsemem_x86_64_page_table::X86_64;

use crate::ranges::up_to;
pub(crate) use faults::Faults;

/// The node that memory is asked for on.
pub(crate) const NODE: NodeId = NodeId::new(3);

/// A table page.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Table([AtomicU64; 512]);

impl Default for Table {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }
}

impl Table {
    /// The address at which the table can be reached.
    pub(crate) fn start(&self) -> NonNull<u8> {
        NonNull::from(self).cast()
    }
}

/// A leaf's memory that is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LiveLeaf {
    size: LeafSize,
    origin: Origin,
}

pub(crate) struct Host {
    pub(crate) tree: PageTable<X86_64>,
    pub(crate) faults: Faults,
    /// The number of calls of each method.
    pub(crate) nr_leaf_allocs: u32,
    pub(crate) nr_table_allocs: u32,
    pub(crate) nr_flushes: u32,
    tables: BTreeMap<u64, (Origin, Box<Table>)>,
    leaves: BTreeMap<u64, LiveLeaf>,
    /// The next frame that nobody ever had: frames are not used twice.
    next_frame: u64,
    next_origin: u8,
    /// Leaves a processor may hold: where they start, how long they are, and their frames.
    tlb: BTreeMap<u64, (VirtRange, u64)>,
    /// Tables a processor may hold, and the addresses they translate.
    walk_cache: BTreeMap<u64, VirtRange>,
    is_walk_cache_old: bool,
    /// Another address space's copy of the root.
    root_copy: Vec<u64>,
}

impl Host {
    pub(crate) fn new(depth: PagingDepth) -> Self {
        let root = 0x1000;
        let tables = BTreeMap::from([(root, (Origin::Boot, Box::default()))]);
        // SAFETY: the root is live in this host for as long as the host is there, and only this host's own test
        // works on it.
        let tree = unsafe { PageTable::new(PhysAddr::new(root), depth) };
        Self {
            tree,
            faults: Faults::default(),
            nr_leaf_allocs: 0,
            nr_table_allocs: 0,
            nr_flushes: 0,
            tables,
            leaves: BTreeMap::new(),
            next_frame: 0x2000,
            next_origin: 0,
            tlb: BTreeMap::new(),
            walk_cache: BTreeMap::new(),
            is_walk_cache_old: false,
            root_copy: vec![0; 512],
        }
    }

    /// Populates, with every block going back that has to, and [checks](Self::check) what is there then.
    pub(crate) fn populate(
        &mut self,
        range: VirtRange,
        policy: impl FnMut(VirtRange, LeafSize) -> Choice,
    ) -> Result<Populated, PopulateError> {
        let (tree, mut lost) = (self.tree, LostBlocks::default());
        let made = tree.populate(self, NODE, range, policy, &mut lost);
        assert!(lost.is_empty(), "{lost}");
        self.check();
        made
    }

    /// Unmaps, with every block going back that has to, and [checks](Self::check) what is there then.
    pub(crate) fn unmap(
        &mut self,
        range: VirtRange,
        keep: impl FnMut(&Mapping) -> Fate,
    ) -> Result<Unmapped, UnmapError> {
        let (tree, mut lost) = (self.tree, LostBlocks::default());
        let gone = tree.unmap(self, range, keep, &mut lost);
        assert!(lost.is_empty(), "{lost}");
        self.check();
        gone
    }

    /// Populates with the largest leaves up to `max`, which has to succeed.
    pub(crate) fn fill(&mut self, range: VirtRange, max: LeafSize) -> Populated {
        self.populate(range, up_to(max)).unwrap()
    }

    /// Unmaps everything in a range, which has to succeed.
    pub(crate) fn empty(&mut self, range: VirtRange) -> Unmapped {
        self.unmap(range, |_| Fate::Drop).unwrap()
    }

    /// A frame that nobody ever had, and an origin that is not the last one's.
    fn take_frame(&mut self, layout: Layout) -> (u64, Origin) {
        let start = self.next_frame.next_multiple_of(layout.align() as u64);
        self.next_frame = start + layout.size() as u64;
        self.next_origin = (self.next_origin + 1) % 3;
        (start, Origin::from_code(self.next_origin).unwrap())
    }

    /// The table that was written to as `table`.
    fn table(&self, table: u64) -> &Table {
        &self.tables[&table].1
    }
}
