//! A kernel with a mapper of its own, shown by the simulated machine.

use std::alloc::Layout;
use std::collections::BTreeMap;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, Origin, OutOfMemory,
    PhysAddr, Rejected, VirtAddr, VirtRange, forward_to_field,
};
use sparsemem_machine::{Machine, MachineConfig};
use sparsemem_vmemmap::{Mapped, Mapper};

/// A kernel with a mapper, and no page tables that a model could write.
pub(crate) struct Kernel {
    pub(crate) machine: Machine,
    pub(crate) mappings: BTreeMap<VirtAddr, (PhysAddr, LeafSize)>,
    pub(crate) large: Option<LeafSize>,
    /// The origin of every block that is out, as a kernel knows it from its memory map.
    pub(crate) origins: BTreeMap<PhysAddr, Origin>,
}

// SAFETY: the machine stays.
forward_to_field!(unsafe impl [] PhysMap for Kernel => machine);

// SAFETY: all blocks are the machine's.
unsafe impl MetadataMemory for Kernel {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let block = self.machine.alloc_zeroed(layout, node)?;
        self.origins.insert(block.phys(), block.origin());
        Ok(block)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.machine.free(block)
    }
}

// SAFETY: the machine shows each mapping from `map` to `unmap`; nobody else maps in its window.
unsafe impl Mapper for Kernel {
    fn page(&self) -> LeafSize {
        LeafSize::Size4KiB
    }

    fn large(&self) -> Option<LeafSize> {
        self.large
    }

    fn walk(&self, at: VirtAddr) -> Mapped {
        let before = self.mappings.range(..=at).next_back();
        if let Some((start, (to, size))) = before.filter(|it| at.get() - it.0.get() < it.1.1.bytes()) {
            return Mapped::Leaf { at: *start, to: *to, size: *size };
        }
        let end = self.mappings.range(at..).next().map_or(self.machine.window().end(), |(next, _)| *next);
        Mapped::Hole { end }
    }

    fn map(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        assert!(matches!(self.walk(at), Mapped::Hole { end } if end.get() - at.get() >= size.bytes()));
        self.machine.linked(at, to, size)?;
        self.mappings.insert(at, (to, size));
        Ok(())
    }

    fn unmap(&mut self, at: VirtAddr, size: LeafSize) {
        assert_eq!(self.mappings.remove(&at).map(|found| found.1), Some(size));
        let end = VirtAddr::new(at.get() + size.bytes());
        self.machine.flush(VirtRange::new(at, end).unwrap());
    }

    /// Of memory that the machine's allocators do not have, altmaps are made.
    fn origin_of(&self, to: PhysAddr) -> Origin {
        let is_managed = self.machine.memory().iter().any(|(range, _)| range.contains(to));
        if is_managed { self.origins[&to] } else { Origin::Altmap }
    }
}

impl Kernel {
    /// A kernel on a machine, without mappings.
    pub(crate) fn on(config: &MachineConfig, large: Option<LeafSize>) -> Self {
        let machine = Machine::new(config).unwrap();
        Self { machine, mappings: BTreeMap::new(), large, origins: BTreeMap::new() }
    }
}
