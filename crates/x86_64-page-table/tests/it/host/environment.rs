//! The host as a model's environment: memory, a direct map, and what a processor would have cached.

use std::alloc::Layout;
use std::ptr::{NonNull, without_provenance_mut};

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, Origin, OutOfMemory,
    PagingDepth, PhysAddr, PhysMap, Rejected, VirtAddr, VirtRange,
};

use super::{Host, LiveLeaf, NODE};

/// The address from which leaves would be reached, if they were memory.
const DIRECT_MAP: usize = 0x1234 << 32;

impl Host {
    fn free_table(&mut self, start: u64, layout: Layout, origin: Origin) {
        self.refresh_walk_cache();
        assert!(!self.walk_cache.contains_key(&start), "table {start:#x} freed while a walk may use it");
        assert!(!self.linked_tables().contains_key(&start), "table {start:#x} freed while linked");
        let (from, _) = self.tables.remove(&start).expect("table freed twice");
        assert_eq!((from, layout), (origin, natural(4096)), "table {start:#x} came from elsewhere");
    }

    fn free_leaf(&mut self, start: u64, layout: Layout, origin: Origin) {
        let in_use = self.tlb.values().any(|&(_, held)| held == start);
        assert!(!in_use, "leaf {start:#x} freed before it was flushed");
        assert_eq!(self.leaves.remove(&start), Some(LiveLeaf { size: size_of(layout), origin }));
    }
}

/// The block as which `bytes` are allocated.
fn natural(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, bytes).unwrap()
}

/// The leaf that a block is for.
fn size_of(layout: Layout) -> LeafSize {
    let sizes = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB];
    let size = sizes.into_iter().find(|size| size.bytes() == layout.size() as u64);
    assert_eq!(layout.align(), layout.size());
    size.expect("no leaf has this size")
}

// SAFETY: a table is a box of its own from when it is allocated until it is freed; the pointer to a leaf, and what a
// test makes of tables that are misplaced, is followed by nobody.
unsafe impl PhysMap for Host {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        if let Some((_, table)) = self.tables.get(&at.get()) {
            return table.start();
        }
        assert!(self.leaves.contains_key(&at.get()), "{at} is neither a live table nor a live leaf");
        let address = DIRECT_MAP.wrapping_add(usize::try_from(at.get()).unwrap());
        NonNull::new(without_provenance_mut(address)).unwrap()
    }

    fn virt_to_phys(&self, _: NonNull<u8>) -> Option<PhysAddr> {
        unreachable!("page tables do not ask for it")
    }
}

// SAFETY: tables are boxes of zeros, and leaves are numbers that nobody follows; what is free was in use once only.
// Blocks that are misplaced on command are what the crate has to find out. A method that panics ends the test.
unsafe impl MetadataMemory for Host {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.refresh_walk_cache();
        assert_eq!((layout, node), (natural(4096), NODE));
        self.nr_table_allocs += 1;
        self.faults.before_table().ok_or(OutOfMemory::new(layout, node))?;
        let (frame, origin) = self.take_frame(layout);
        let phys = self.faults.misplaced_table(frame);
        self.tables.insert(phys, (origin, Box::default()));
        self.is_walk_cache_old = true;
        let start = self.table(phys).start();
        // SAFETY: the box is new, and as large as a table.
        Ok(unsafe { Block::from_parts(start, PhysAddr::new(phys), layout, origin) })
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.refresh_walk_cache();
        assert_eq!(node, NODE);
        let size = size_of(layout);
        self.nr_leaf_allocs += 1;
        self.faults.before_leaf(size).ok_or(OutOfMemory::new(layout, node))?;
        let (frame, origin) = self.take_frame(layout);
        let phys = self.faults.misplaced_leaf(size, frame);
        self.leaves.insert(phys, LiveLeaf { size, origin });
        let phys = PhysAddr::new(phys);
        let start = self.phys_to_virt(phys);
        // SAFETY: nobody follows the pointer.
        Ok(unsafe { Block::from_parts(start, phys, layout, origin) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let (start, layout, origin) = (block.phys().get(), block.layout(), block.origin());
        assert_eq!(block.start(), self.phys_to_virt(block.phys()));
        match self.tables.contains_key(&start) {
            true => self.free_table(start, layout, origin),
            false => self.free_leaf(start, layout, origin),
        }
        match self.faults.refuses {
            true => Err(Rejected { error: block.foreign(), returned: block }),
            false => Ok(()),
        }
    }
}

// SAFETY: no processor walks these tables; the one that is imagined here obeys.
unsafe impl AddressSpace for Host {
    fn root(&self) -> PhysAddr {
        self.tree.root()
    }

    fn depth(&self) -> PagingDepth {
        self.tree.depth()
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.assert_root_copy();
        let leaf = self.linked_leaf(at).expect("not visible yet");
        assert_eq!((leaf.frame, leaf.range.start()), (to.get(), at), "not visible yet");
        // Also a leaf that is refused was visible for a while.
        assert_eq!((leaf.size, self.tlb.insert(at.get(), (leaf.range, to.get()))), (size, None));
        self.faults.before_link().ok_or(LinkRefused { at })
    }

    fn root_changed(&mut self, at: VirtAddr) {
        let shift = if self.tree.depth() == PagingDepth::Five { 48 } else { 39 };
        let index = usize::try_from(at.get() >> shift & 511).unwrap();
        self.root_copy[index] = self.raw_root()[index];
    }

    fn flush(&mut self, range: VirtRange) {
        self.refresh_walk_cache();
        self.assert_root_copy();
        self.nr_flushes += 1;
        assert!(!range.is_empty());
        let linked = self.linked_leaves();
        assert!(!linked.values().any(|leaf| leaf.range.overlaps(range)), "{range} is flushed while mapped");
        let partly = |held: VirtRange| range.overlaps(held) && !range.contains_range(held);
        assert!(!self.tlb.values().any(|&(held, _)| partly(held)), "{range} cuts a leaf");
        self.tlb.retain(|_, &mut (held, _)| !range.contains_range(held));
        let still_linked = self.linked_tables();
        self.walk_cache.retain(|table, slot| still_linked.contains_key(table) || !slot.overlaps(range));
    }
}
