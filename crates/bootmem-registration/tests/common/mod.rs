//! The model of the tests, and a note of what boot allocates for it.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]

use std::alloc::Layout;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{Block, ByteLen, MetadataMemory, NodeId, OutOfMemory, PhysRange, SectionShape};
use sparsemem_fixture::PcModel;
use sparsemem_machine::{HostRcu, Machine};

pub enum Readers {}
/// The model of the tests, of any backend.
pub type Model = PcModel<HostRcu<Readers>>;

/// Where a block lies.
pub fn bytes_of_block(block: &Block) -> PhysRange {
    PhysRange::from_start_count(block.phys(), ByteLen::new(block.layout().size() as u64)).unwrap()
}

/// What was allocated: memmaps and usages in the order of sections, and everything else.
#[derive(Default)]
pub struct Notes {
    pub memmaps: Vec<PhysRange>,
    pub usages: Vec<PhysRange>,
    pub tables: Vec<PhysRange>,
}

impl Notes {
    /// Allocates, and notes it.
    pub fn alloc_zeroed(
        &mut self,
        machine: &mut Machine,
        layout: Layout,
        node: NodeId,
    ) -> Result<Block, OutOfMemory> {
        let block = machine.alloc_zeroed(layout, node)?;
        // Roots of tables and page tables are whole pages.
        let usage = (layout.size() as u64) < X86_64::PAGE_SIZE;
        let notes = if usage { &mut self.usages } else { &mut self.tables };
        notes.push(bytes_of_block(&block));
        Ok(block)
    }

    /// The same for a memmap.
    pub fn alloc_memmap(
        &mut self,
        machine: &mut Machine,
        layout: Layout,
        node: NodeId,
    ) -> Result<Block, OutOfMemory> {
        let block = machine.alloc_memmap(layout, node)?;
        self.memmaps.push(bytes_of_block(&block));
        Ok(block)
    }
}
