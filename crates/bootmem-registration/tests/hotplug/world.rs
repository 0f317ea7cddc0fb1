//! A booted machine whose metadata is registered, with hotplug and a page allocator that never had those frames.

use std::alloc::Layout;

use sparsemem_bootmem_registration::{
    DescriptorTags, Disposition, PageRun, PageUse, PieceSlot, Registry, SectionMetadata, SectionSlot, Storage,
};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, ForeignBlock, MemoryModel, MemoryRange, MetadataMemory, NodeId, OutOfMemory, PageCount, Pfn,
    PfnRange, Rejected, SectionNr, forward_to_field,
};
use sparsemem_fixture::{Backend, Fixture, NODE, bytes, sections};
use sparsemem_hotplug::{
    Hotplug, Limits, OfflineError, OnlineError, Reserved, Storage as HotplugStorage, WithReserved,
};
use sparsemem_machine::{Machine, MachineConfig};

use crate::common::{Model, Notes};
use crate::frames::{Frames, pages};

type Reg = Registry<'static, X86_64, DescriptorTags<'static, Model>>;

pub fn section(nr: u64) -> PfnRange {
    sections::<X86_64>(nr, 1)
}

/// All memory there is.
pub fn both() -> PfnRange {
    sections::<X86_64>(0, 2)
}

/// A machine with sections 0 and 1, and room for a virtual memmap. Section 0 has the boot allocator's node.
fn machine() -> MachineConfig {
    MachineConfig::new()
        .memory(bytes::<X86_64>(section(0)), NODE)
        .memory(bytes::<X86_64>(section(1)), NodeId::new(1))
        .vmemmap_bytes(1 << 30)
}

/// The machine as the models' environment. At boot it notes what is allocated; later it asks the registry.
pub struct World {
    machine: Machine,
    registry: Option<Reg>,
    notes: Notes,
    /// What removals left for the page allocator.
    freed: Vec<PfnRange>,
    /// Blocks of boot that models gave back. Their pages go their own ways.
    given_back: Vec<Block>,
}

// SAFETY: the machine's memory stays where it is wherever the machine goes.
forward_to_field!(unsafe impl [] PhysMap for World => machine);
// SAFETY: as above.
forward_to_field!(unsafe impl [] AddressSpace for World => machine);

fn note_freed(freed: &mut Vec<PfnRange>, run: PageRun) {
    if run.is_free() {
        freed.push(run.pages);
    }
}

// SAFETY: the machine's own blocks; those of boot that come back are kept and not used again.
unsafe impl MetadataMemory for World {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.notes.alloc_zeroed(&mut self.machine, layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.notes.alloc_memmap(&mut self.machine, layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let Self { machine, registry, freed, .. } = self;
        let Some(registry) = registry else { return machine.free(block) };
        match registry.release_block(&block, &mut |run| note_freed(freed, run)).unwrap() {
            Disposition::NotRegistered => machine.free(block),
            _ => {
                self.given_back.push(block);
                Ok(())
            }
        }
    }
}

/// What hotplug asks, answered by the registry: all that a kernel writes to join the two.
struct Metadata<'r> {
    registry: &'r Reg,
    block: PageCount,
}

impl Reserved for Metadata<'_> {
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange> {
        self.registry.first_pinned(frames, self.block).map(|pinned| pinned.pages)
    }

    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        self.registry.next_metadata(frames)
    }
}

type Hooks<'b> = WithReserved<&'b mut Frames, Metadata<'b>>;

/// Sections 0 and 1, with all metadata in section 0.
pub struct System {
    pub model: &'static Model,
    pub hotplug: Hotplug<'static, Model>,
    pub allocator: Frames,
    world: World,
}

impl System {
    /// Boots, registers, and gives the allocator what is left.
    pub fn boot(backend: Backend, limits: Limits<X86_64>) -> Self {
        let Fixture { model, machine } = Fixture::<Model>::new(backend, &machine()).unwrap();
        let model: &'static Model = Box::leak(Box::new(model));
        let (freed, given_back) = (vec![], vec![]);
        let mut world = World { machine, registry: None, notes: Notes::default(), freed, given_back };
        let memory = [0, 1].map(|nr| MemoryRange { frames: section(nr), node: NODE });
        let mut writer = model.write().unwrap();
        writer.boot(&mut world, memory.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
        drop(writer);
        world.machine.finish_boot();
        world.register(model);

        let storage = HotplugStorage {
            blocks: Box::leak(vec![None; 4].into()),
            notifiers: &mut [],
            resources: Box::leak(vec![None; 8].into()),
        };
        let mut hotplug = Hotplug::new(model, limits, storage);
        hotplug.adopt_boot(bytes::<X86_64>(both()), NODE).unwrap();
        let mut system = Self { model, hotplug, allocator: Frames::default(), world };
        system.fill_allocator();
        system.check();
        system
    }

    /// What boot left over: every page that no piece touches, asked one by one.
    fn fill_allocator(&mut self) {
        let Self { allocator, world, .. } = self;
        let registry = world.registry.as_ref().unwrap();
        let free = |page: &Pfn| registry.page_use(*page) == PageUse::NotRegistered;
        for page in pages(both()).map(Pfn::new).filter(free) {
            allocator.boot(PfnRange::from_start_count(page, PageCount::new(1)).unwrap());
        }
    }

    pub fn registry(&self) -> &Reg {
        self.world.registry.as_ref().unwrap()
    }

    fn hooks(&mut self) -> (Hooks<'_>, &mut Hotplug<'static, Model>) {
        let Self { hotplug, allocator, world, .. } = self;
        let block = hotplug.limits().block.frames();
        let registry = world.registry.as_ref().unwrap();
        (WithReserved::new(allocator, Metadata { registry, block }), hotplug)
    }

    pub fn offline(&mut self, frames: PfnRange) -> Result<(), OfflineError> {
        let (mut hooks, hotplug) = self.hooks();
        let result = hotplug.offline(&mut hooks, frames);
        self.check();
        result
    }

    /// Brings frames online.
    pub fn online(&mut self, frames: PfnRange) -> Result<(), OnlineError> {
        let (mut hooks, hotplug) = self.hooks();
        hotplug.online(&mut hooks, frames)?;
        self.check();
        Ok(())
    }

    /// Removes frames that are offline, forgets their sections in this order, and hands what became free to the
    /// allocator: what does not leave itself. Answers with how many pages that were.
    pub fn remove(&mut self, frames: PfnRange, order: &[u64]) -> usize {
        let Self { hotplug, allocator, world, .. } = self;
        let retired = hotplug.remove_memory(world, frames).unwrap();
        assert!(retired.lost.is_empty(), "{retired:?}");
        let World { registry, freed, .. } = world;
        let registry = registry.as_mut().unwrap();
        for nr in order {
            let released = registry.release_section(SectionNr::new(*nr), &mut |run| note_freed(freed, run));
            assert_eq!(released.unwrap().untagged.get(), 0);
        }
        let mut count = 0;
        for run in freed.drain(..).filter(|run| !frames.contains_range(*run)) {
            allocator.boot(run);
            count += pages(run).count();
        }
        self.check();
        count
    }

    /// No frame that the allocator knows holds metadata, and each is valid.
    fn check(&self) {
        for piece in self.registry().pieces() {
            let mut known = pages(piece.pages::<X86_64>()).filter(|page| self.allocator.knows(*page));
            assert_eq!(known.next(), None, "a page of {piece:?} is the allocator's");
        }
        let gone = self.allocator.known().find(|page| !self.model.is_valid(*page));
        assert_eq!(gone, None, "the allocator has a frame that is not there");
    }
}

impl World {
    /// Registers what boot noted.
    fn register(&mut self, model: &'static Model) {
        let storage = Storage {
            sections: Box::leak(vec![SectionSlot::EMPTY; 4].into()),
            pieces: Box::leak(vec![PieceSlot::EMPTY; 32].into()),
        };
        let mut registry = Registry::new(DescriptorTags::new(model), storage);
        assert_eq!((self.notes.memmaps.len(), self.notes.usages.len()), (2, 2));
        for (nr, (memmap, usage)) in (0..).zip(self.notes.memmaps.iter().zip(&self.notes.usages)) {
            let metadata =
                SectionMetadata { memmap: &[*memmap], usage: &[*usage], tables: &self.notes.tables };
            registry.register_section(SectionNr::new(nr), NODE, metadata).unwrap();
        }
        let pieces = registry.pieces();
        pieces.for_each(|piece| assert!(section(0).contains_range(piece.pages::<X86_64>()), "{piece:?}"));
        self.registry = Some(registry);
    }
}
