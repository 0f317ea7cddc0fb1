//! A machine as the environment of several threads: each has one of these, as each processor of a kernel has its own view of
//! one allocator.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Mutex;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, OutOfMemory,
    PagingDepth, PhysAddr, PhysMap, Rejected, VirtAddr, VirtRange,
};
use sparsemem_machine::Machine;

/// A view of a machine.
pub(crate) struct Shared<'m>(pub(crate) &'m Mutex<Machine>);

// SAFETY: the machine's own map, which stays as it is.
unsafe impl PhysMap for Shared<'_> {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        self.0.lock().unwrap().phys_to_virt(at)
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        self.0.lock().unwrap().virt_to_phys(at)
    }
}

// SAFETY: the machine's own blocks, one request after the other.
unsafe impl MetadataMemory for Shared<'_> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.0.lock().unwrap().alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.0.lock().unwrap().free(block)
    }
}

// SAFETY: the machine's own page tables.
unsafe impl AddressSpace for Shared<'_> {
    fn root(&self) -> PhysAddr {
        self.0.lock().unwrap().root()
    }

    fn depth(&self) -> PagingDepth {
        self.0.lock().unwrap().depth()
    }

    fn largest_leaf(&self) -> LeafSize {
        self.0.lock().unwrap().largest_leaf()
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.0.lock().unwrap().linked(at, to, size)
    }

    fn root_changed(&mut self, at: VirtAddr) {
        self.0.lock().unwrap().root_changed(at);
    }

    fn published(&mut self, range: VirtRange) {
        self.0.lock().unwrap().published(range);
    }

    fn flush(&mut self, range: VirtRange) {
        self.0.lock().unwrap().flush(range);
    }
}
