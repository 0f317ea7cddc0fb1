//! The memory of a leaf, allocated before the page tables are changed: several processors zero theirs at once, and change
//! the page tables one after the other.

use core::alloc::Layout;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, MetadataMemory, NodeId, OutOfMemory, PhysMap, Rejected,
    forward_to_field,
};
use sparsemem_page_table::{Choice, EntryFormat, Level};
use sparsemem_section::{PopulateRequest, SectionTable};

use crate::settle::rounded;
use crate::{ArrayBase, VirtualArray};

/// An environment that gives a block for descriptors out before it asks for others.
pub(crate) struct Beforehand<'e, E> {
    pub(crate) env: &'e mut E,
    /// A block of `env`.
    pub(crate) block: &'e mut Option<Block>,
}

// SAFETY: the borrow keeps the environment in its place.
forward_to_field!(unsafe impl ['e, E: PhysMap] PhysMap for Beforehand<'e, E> => env);
// SAFETY: as above.
forward_to_field!(unsafe impl ['e, E: AddressSpace] AddressSpace for Beforehand<'e, E> => env);

// SAFETY: every block is the environment's own, given out once, and taken back by the environment. The one that was allocated
// before was fresh, and nobody has used it since.
unsafe impl<E: MetadataMemory> MetadataMemory for Beforehand<'_, E> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.env.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        match self.block.take_if(|block| block.layout() == layout) {
            Some(block) => Ok(block),
            None => self.env.alloc_memmap(layout, node),
        }
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.env.free(block)
    }
}

impl<B: ArrayBase, F: EntryFormat> VirtualArray<B, F> {
    /// The leaf of the second level that a request will take, if its descriptors lie in one and it may be that large. Smaller
    /// leaves are many, and are allocated while the page tables are changed.
    pub(crate) fn leaf_of<T: SectionTable, E: AddressSpace>(
        &self,
        env: &E,
        request: &PopulateRequest,
    ) -> Option<Layout> {
        let bytes = self.bytes_of::<T::Page>(request.frames)?;
        let size = F::leaf_size(Level::PMD)?;
        let slot = rounded(bytes, size.bytes())?;
        let policy = self.policy::<T>(env.largest_leaf(), Some(size), request, bytes);
        (slot.count().get() == size.bytes() && policy.choose(slot, size) == Choice::Place)
            .then(|| size.layout())
    }
}
