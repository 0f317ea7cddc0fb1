//! The three models on the simulated machine, and a note of what boot allocates for them.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]

use std::alloc::Layout;

use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{Block, ByteLen, MetadataMemory, NodeId, OutOfMemory, Page, PhysRange, SectionShape};
use sparsemem_machine::{HostRcu, Machine, place};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

pub struct Readers;
pub type Rcu = HostRcu<Readers>;
pub type Classic = ClassicSparse<X86_64, Page, Rcu, { X86_64::NR_SECTIONS_LEN }>;
pub type Extreme = SparseExtreme<X86_64, Page, Rcu, { X86_64::NR_ROOTS_LEN }>;
pub type Virtual = Vmemmap<X86_64, Page, Rcu, DynamicBase, { X86_64::NR_ROOTS_LEN }>;

pub fn classic(_: &Machine) -> Box<Classic> {
    place()
}

pub fn extreme(_: &Machine) -> Box<Extreme> {
    place()
}

/// A virtual array on the machine's window.
pub fn virtual_array(machine: &Machine) -> Box<Virtual> {
    let model = place::<Virtual>();
    let len = machine.window().count().get();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(machine.window_ptr(), len) };
    model
}

/// Every test, on each model.
#[macro_export]
macro_rules! on_every_model {
    ($($name:ident),* $(,)?) => {
        mod classic { $(#[test] fn $name() { $crate::$name($crate::common::classic); })* }
        mod extreme { $(#[test] fn $name() { $crate::$name($crate::common::extreme); })* }
        mod virtual_array { $(#[test] fn $name() { $crate::$name($crate::common::virtual_array); })* }
    };
}

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
