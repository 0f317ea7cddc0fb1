//! A provider that takes nothing back.

use core::alloc::Layout;

use sparsemem_core::{Block, ForeignBlock, MetadataMemory, NodeId, OutOfMemory, Rejected, forward_to_field};
use sparsemem_machine::Machine;

pub struct Greedy(pub Machine);

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl [] PhysMap for Greedy => 0);
// SAFETY: as above.
forward_to_field!(unsafe impl [] AddressSpace for Greedy => 0);

// SAFETY: the machine's own blocks.
unsafe impl MetadataMemory for Greedy {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.0.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Err(Rejected { error: block.foreign(), returned: block })
    }
}
