//! The machine as the models' environment, and the registry of what boot allocated on it.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]

use std::alloc::Layout;
use std::collections::BTreeSet;

use sparsemem_bootmem_registration::{
    DescriptorTags, Disposition, Fate, PageRun, PieceSlot, Registry, ReleaseError, Released, SectionSlot,
    Storage,
};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, ByteLen, ForeignBlock, MemoryModel, MemoryRange, MetadataMemory, NodeId, OutOfMemory, PfnRange,
    PhysRange, Rejected, SectionNr, forward_to_field,
};
use sparsemem_fixture::PcModel;
use sparsemem_machine::{HostRcu, Machine};

pub enum Readers {}
/// The model of the tests, of any backend.
pub type Model = PcModel<HostRcu<Readers>>;
pub type Reg = Registry<'static, X86_64, DescriptorTags<'static, Model>>;

/// The physical addresses of a block.
pub fn bytes_of_block(block: &Block) -> PhysRange {
    PhysRange::from_start_count(block.phys(), ByteLen::new(block.layout().size() as u64)).unwrap()
}

/// Blocks of boot on their way out. The machine takes whole blocks back, the registry frees pages: a block waits until
/// all its pages are free.
#[derive(Default)]
pub struct Desk {
    pub waiting: Vec<Block>,
    /// Blocks that left with their section.
    pub left: Vec<Block>,
    /// The freed blocks, in the order in which they were freed.
    pub freed: Vec<PfnRange>,
    free: BTreeSet<u64>,
    leaving: BTreeSet<u64>,
}

impl Desk {
    fn tell(&mut self, run: PageRun) {
        let pages = run.pages.start().get()..run.pages.end().get();
        match run.fate {
            Fate::Free => {
                self.free.extend(pages);
                self.freed.push(run.pages);
            }
            Fate::Leaves => self.leaving.extend(pages),
            Fate::Shared => {}
        }
    }

    /// The number of pages that became free.
    pub fn nr_free(&self) -> usize {
        self.free.len()
    }

    /// Gives those waiting blocks to the machine whose pages are all free, and notes those that left.
    pub fn settle(&mut self, machine: &mut Machine) {
        for block in std::mem::take(&mut self.waiting) {
            let bytes = bytes_of_block(&block);
            let mut pages = bytes.start().get() >> 12..bytes.end().get().div_ceil(4096);
            if pages.clone().all(|page| self.free.contains(&page)) {
                machine.free(block).map_err(|refused| refused.error).unwrap();
            } else if pages.all(|page| self.leaving.contains(&page)) {
                self.left.push(block);
            } else {
                self.waiting.push(block);
            }
        }
    }
}

/// The machine as the models' environment. After boot it asks the registry about every block that comes back.
pub struct World {
    pub machine: Machine,
    pub desk: Desk,
    registry: Option<Reg>,
}

impl World {
    /// Boots with whole sections, each reported on a node, and registers what that took.
    pub fn boot(machine: Machine, model: &'static Model, sections: &[(u64, u32)]) -> Self {
        let mut world = Self { machine, desk: Desk::default(), registry: None };
        let memory = sections.iter().map(|(nr, node)| {
            let frames = SectionNr::new(*nr).frames::<X86_64>().unwrap();
            MemoryRange { frames, node: NodeId::new(*node) }
        });
        let mut writer = model.write().unwrap();
        writer.boot(&mut world, memory, &mut |event| panic!("{event:?}")).unwrap();
        drop(writer);
        world.machine.finish_boot();
        world.register(model, sections);
        world
    }

    fn register(&mut self, model: &'static Model, sections: &[(u64, u32)]) {
        let storage = Storage {
            sections: Box::leak(vec![SectionSlot::EMPTY; 16].into()),
            pieces: Box::leak(vec![PieceSlot::EMPTY; 128].into()),
        };
        let mut registry = Registry::new(DescriptorTags::new(model), storage);
        let mut writer = model.write().unwrap();
        for (nr, node) in sections {
            registry.register_from(&mut writer, self, SectionNr::new(*nr), NodeId::new(*node)).unwrap();
        }
        self.registry = Some(registry);
    }

    pub fn registry(&self) -> &Reg {
        self.registry.as_ref().unwrap()
    }

    pub fn registry_mut(&mut self) -> &mut Reg {
        self.registry.as_mut().unwrap()
    }

    /// Forgets a section that is retired.
    pub fn release_section(&mut self, nr: SectionNr) -> Result<Released, ReleaseError> {
        let Self { registry, desk, .. } = self;
        registry.as_mut().unwrap().release_section(nr, &mut |run| desk.tell(run))
    }
}

// SAFETY: the machine's memory stays where it is wherever the machine goes.
forward_to_field!(unsafe impl [] PhysMap for World => machine);
// SAFETY: as above.
forward_to_field!(unsafe impl [] AddressSpace for World => machine);

// SAFETY: the machine's own blocks; those of boot are kept on the desk until the registry lets them go.
unsafe impl MetadataMemory for World {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.machine.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let Self { machine, registry, desk, .. } = self;
        let Some(registry) = registry else { return machine.free(block) };
        match registry.release_block(&block, &mut |run| desk.tell(run)) {
            Ok(Disposition::NotRegistered) => machine.free(block),
            Ok(_) => {
                desk.waiting.push(block);
                desk.settle(machine);
                Ok(())
            }
            Err(_) => Err(Rejected { error: block.foreign(), returned: block }),
        }
    }
}
