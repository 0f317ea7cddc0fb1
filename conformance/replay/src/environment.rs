//! The environments of a replay.
//!
//! # Invariants
//!
//! 1. [`Notes`] only records: every call goes to the machine.

#![allow(unsafe_code, reason = "the traits of an environment are unsafe")]

use std::alloc::Layout;

use sparsemem_altmap::WithAltmap;
use sparsemem_core::{
    Block, ByteLen, ForeignBlock, MetadataMemory, NodeId, OutOfMemory, PhysRange, Rejected, forward_to_field,
};
use sparsemem_machine::Machine;

/// An environment of the machine that takes memmaps from an altmap first.
pub(super) type Env<'a, 'w, G> = WithAltmap<'a, 'w, G, Machine>;

/// The environment of boot, which records the place of each block. Models allocate usages in the order in which the
/// ranges of memory touch sections.
pub(super) struct Notes<'e> {
    machine: &'e mut Machine,
    blocks: Vec<PhysRange>,
}

impl<'e> Notes<'e> {
    /// An environment without records.
    pub(super) const fn new(machine: &'e mut Machine) -> Self {
        Self { machine, blocks: Vec::new() }
    }

    /// The blocks of a size that are not memmaps, in the order of their allocation.
    pub(super) fn into_blocks_of(self, size: Option<ByteLen>) -> Vec<PhysRange> {
        self.blocks.into_iter().filter(|range| size == Some(range.count())).collect()
    }
}

/// The bytes of a block.
pub(super) fn bytes_of(block: &Block) -> PhysRange {
    let len = ByteLen::new(block.layout().size() as u64);
    PhysRange::from_start_count(block.phys(), len).unwrap_or_default()
}

// SAFETY: the borrow keeps the machine in its place.
forward_to_field!(unsafe impl ['e] PhysMap for Notes<'e> => machine);

// SAFETY: the blocks are the machine's own.
unsafe impl MetadataMemory for Notes<'_> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let block = self.machine.alloc_zeroed(layout, node)?;
        self.blocks.push(bytes_of(&block));
        Ok(block)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.machine.alloc_memmap(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.machine.free(block)
    }
}

// SAFETY: the borrow keeps the machine in its place.
forward_to_field!(unsafe impl ['e] AddressSpace for Notes<'e> => machine);
