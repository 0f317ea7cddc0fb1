//! Tables on the heap, and leaves that are numbers.

use std::alloc::Layout;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::vec::Vec;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PagingDepth, PhysAddr,
    PhysMap, Rejected, VirtAddr, VirtRange,
};

use crate::table::Table;
use crate::toy::Toy;
use crate::{EntryFormat, PageTable};

/// A page of zeros.
#[repr(C, align(4096))]
pub(crate) struct RawTable([AtomicU64; 512]);

impl RawTable {
    pub(crate) fn zeroed() -> Box<Self> {
        Box::new(Self([const { AtomicU64::new(0) }; 512]))
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        NonNull::from(self).cast()
    }
}

/// An environment that counts the blocks that it gave.
pub(crate) struct Heap {
    depth: PagingDepth,
    tables: BTreeMap<PhysAddr, Box<RawTable>>,
    leaves: BTreeMap<PhysAddr, (Layout, Origin)>,
    next: u64,
    pub(crate) flushed: Vec<VirtRange>,
    pub(crate) roots_changed: Vec<VirtAddr>,
    pub(crate) published: Vec<VirtRange>,
    /// The number of blocks that are left.
    pub(crate) left: usize,
    /// Added to the address of every leaf.
    pub(crate) leaves_from: u64,
    /// The origin of the memory of the next leaves.
    pub(crate) leaf_origin: Origin,
}

const ROOT: PhysAddr = PhysAddr::new(0x1000);

impl Heap {
    pub(crate) fn new(depth: PagingDepth) -> Self {
        let root = RawTable::zeroed();
        let shape = Toy::root(depth);
        let entries = 1 << (shape.bits() - Toy::shift(shape.level()));
        // SAFETY: it is a page of atomics that outlives the view.
        unsafe { Table::at(root.start()) }.empty_out(entries, Toy::empty(shape.level()));
        Self {
            depth,
            tables: BTreeMap::from([(ROOT, root)]),
            leaves: BTreeMap::new(),
            next: 0x2000,
            flushed: Vec::new(),
            roots_changed: Vec::new(),
            published: Vec::new(),
            left: usize::MAX,
            leaves_from: 0,
            leaf_origin: Origin::Altmap,
        }
    }

    pub(crate) fn tree(&self) -> PageTable<Toy> {
        // SAFETY: the root is live as long as the heap, which only its own test uses.
        unsafe { PageTable::new(ROOT, self.depth) }
    }

    /// The numbers of tables, with the root, and of leaves that were given and are not back.
    pub(crate) fn out(&self) -> (usize, usize) {
        (self.tables.len(), self.leaves.len())
    }

    /// Every entry of every table.
    pub(crate) fn entries(&self) -> Vec<u64> {
        let entries = self.tables.values().flat_map(|table| &table.0);
        // Relaxed: one thread runs the walker and this.
        entries.map(|entry| entry.load(std::sync::atomic::Ordering::Relaxed)).collect()
    }

    fn take(&mut self, layout: Layout, node: NodeId) -> Result<PhysAddr, OutOfMemory> {
        self.left = self.left.checked_sub(1).ok_or(OutOfMemory::new(layout, node))?;
        let start = self.next.next_multiple_of(layout.align() as u64);
        self.next = start + layout.size() as u64;
        Ok(PhysAddr::new(start))
    }
}

// SAFETY: a table is a box of its own until it is given back; no code follows the pointer to a leaf.
unsafe impl PhysMap for Heap {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        self.tables.get(&at).map_or(NonNull::dangling(), |table| table.start())
    }

    fn virt_to_phys(&self, _: NonNull<u8>) -> Option<PhysAddr> {
        None
    }
}

// SAFETY: tables are boxes of zeros; no code follows the pointer to a leaf. A panic ends the test.
unsafe impl MetadataMemory for Heap {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        assert_eq!(layout, Layout::new::<RawTable>());
        let phys = self.take(layout, node)?;
        let table = self.tables.entry(phys).or_insert_with(RawTable::zeroed);
        // SAFETY: the box is new, and as large as a table.
        Ok(unsafe { Block::from_parts(table.start(), phys, layout, Origin::Boot) })
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let phys = PhysAddr::new(self.leaves_from + self.take(layout, node)?.get());
        self.leaves.insert(phys, (layout, self.leaf_origin));
        // SAFETY: no code follows the pointer.
        Ok(unsafe { Block::from_parts(NonNull::dangling(), phys, layout, self.leaf_origin) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        match self.tables.remove(&block.phys()) {
            Some(_) => assert_eq!(block.origin(), Origin::Boot),
            None => {
                let leaf = self.leaves.remove(&block.phys());
                assert_eq!(leaf, Some((block.layout(), block.origin())));
            }
        }
        Ok(())
    }
}

// SAFETY: no processor walks these tables.
unsafe impl AddressSpace for Heap {
    fn root(&self) -> PhysAddr {
        ROOT
    }

    fn depth(&self) -> PagingDepth {
        self.depth
    }

    fn root_changed(&mut self, at: VirtAddr) {
        self.roots_changed.push(at);
    }

    fn published(&mut self, range: VirtRange) {
        self.published.push(range);
    }

    fn flush(&mut self, range: VirtRange) {
        self.flushed.push(range);
    }
}
