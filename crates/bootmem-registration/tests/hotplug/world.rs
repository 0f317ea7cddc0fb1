//! A booted machine whose metadata is registered, with hotplug and a page allocator that never had those frames.

use std::collections::BTreeSet;

use sparsemem_bootmem_registration::PageUse;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, NodeId, PageCount, Pfn, PfnRange, SectionNr};
use sparsemem_fixture::{Backend, Fixture, FrameState, NODE, TestAllocator, bytes, sections, storage};
use sparsemem_hotplug::{Hotplug, Limits, OfflineError, OnlineError, Reserved, WithReserved};
use sparsemem_machine::MachineConfig;

use crate::common::{Model, Reg, World};

/// The numbers of frames.
fn pages(frames: PfnRange) -> impl Iterator<Item = u64> {
    frames.start().get()..frames.end().get()
}

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

/// The registry's answers to the questions of hotplug: all that a kernel writes to join the two.
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

type Hooks<'b> = WithReserved<&'b mut TestAllocator, Metadata<'b>>;

/// Sections 0 and 1, with all metadata in section 0.
pub struct System {
    pub model: &'static Model,
    pub hotplug: Hotplug<'static, Model>,
    pub allocator: TestAllocator,
    world: World,
}

impl System {
    /// Boots, registers, and gives the allocator what is left.
    pub fn boot(backend: Backend, limits: Limits<X86_64>) -> Self {
        let Fixture { model, machine } = Fixture::<Model>::new(backend, &machine()).unwrap();
        let model: &'static Model = Box::leak(Box::new(model));
        let world = World::boot(machine, model, &[(0, 0), (1, 0)]);
        let pieces = world.registry().pieces();
        pieces.for_each(|piece| assert!(section(0).contains_range(piece.pages::<X86_64>()), "{piece:?}"));

        let mut hotplug = Hotplug::new(model, limits, storage(4, 0, 8));
        hotplug.adopt_boot(bytes::<X86_64>(both()), NODE).unwrap();
        let mut system = Self { model, hotplug, allocator: TestAllocator::new(1), world };
        system.fill_allocator();
        system.check();
        system
    }

    /// Gives the allocator what boot left over: every page that no piece touches, asked one by one.
    fn fill_allocator(&mut self) {
        let Self { allocator, world, .. } = self;
        let registry = world.registry();
        let free = |page: &Pfn| registry.page_use(*page) == PageUse::NotRegistered;
        for page in pages(both()).map(Pfn::new).filter(free) {
            allocator.boot(PfnRange::from_start_count(page, PageCount::new(1)).unwrap());
        }
    }

    pub fn registry(&self) -> &Reg {
        self.world.registry()
    }

    fn hooks(&mut self) -> (Hooks<'_>, &mut Hotplug<'static, Model>) {
        let Self { hotplug, allocator, world, .. } = self;
        let block = hotplug.limits().block.frames();
        let registry = world.registry();
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
        for nr in order {
            assert_eq!(world.release_section(SectionNr::new(*nr)).unwrap().untagged.get(), 0);
        }
        let mut count = 0;
        for run in world.desk.freed.drain(..).filter(|run| !frames.contains_range(*run)) {
            allocator.boot(run);
            count += pages(run).count();
        }
        self.check();
        count
    }

    /// The number of these frames that the allocator may hand out.
    pub fn usable_in(&self, frames: PfnRange) -> usize {
        let usable = |(page, state): &(u64, FrameState)| {
            *state == FrameState::Usable && frames.contains(Pfn::new(*page))
        };
        self.allocator.frames().iter().filter(|frame| usable(frame)).count()
    }

    /// No frame that the allocator knows holds metadata, and each is valid.
    fn check(&self) {
        let known: BTreeSet<_> = self.allocator.frames().into_iter().map(|(page, _)| page).collect();
        for piece in self.registry().pieces() {
            let mut held = pages(piece.pages::<X86_64>()).filter(|page| known.contains(page));
            assert_eq!(held.next(), None, "a page of {piece:?} is the allocator's");
        }
        let gone = known.iter().find(|page| !self.model.is_valid(Pfn::new(**page)));
        assert_eq!(gone, None, "the allocator has a frame that is not there");
    }
}
