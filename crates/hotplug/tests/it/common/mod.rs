//! A machine with a model and everything around it, and a copy of its complete state to compare with.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]

pub mod refusing;

use sparsemem_core::{
    CompleteModel, MemoryModel, MemoryRange, PageCount, PfnRange, Retired, SectionNr, SectionShape,
    SectionState,
};
use sparsemem_fixture::{Fixture, FrameState, NODE, Recorder, TestAllocator, boot, bytes, sections, storage};
use sparsemem_hotplug::{Hotplug, Limits, MemoryBlock, Ram, Resource};
use sparsemem_machine::{Machine, StateDigest};

use refusing::{Refusing, refusing};

/// Sections that the tests use.
pub const SECTIONS: u64 = 8;

/// The operations that all models have.
pub trait Model: CompleteModel<Machine> + 'static {}

impl<M: CompleteModel<Machine> + 'static> Model for M {}

/// Everything that can be seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub digest: StateDigest,
    pub sections: Vec<SectionState>,
    pub resources: Vec<Resource>,
    pub blocks: Vec<MemoryBlock>,
    pub frames: Vec<(u64, FrameState)>,
    pub pending: Vec<bool>,
    pub done: Vec<usize>,
}

impl Snapshot {
    /// The same without the count of changes that notifiers have seen.
    pub fn timeless(mut self) -> Self {
        self.done.clear();
        self
    }
}

/// A model with all that belongs to it.
pub struct System<M: Model> {
    pub model: &'static Refusing<M>,
    pub machine: Machine,
    pub hotplug: Hotplug<'static, Refusing<M>>,
    pub allocator: TestAllocator,
    pub notifiers: Vec<&'static Recorder>,
}

impl<M: Model> System<M> {
    /// Boots with ranges of RAM, which the tables then know, and with three notifiers.
    pub fn boot(fixture: Fixture<M>, limits: Limits<M::Geometry>, early: &[PfnRange]) -> Self {
        let Fixture { model, mut machine } = fixture;
        let memory = early.iter().map(|frames| MemoryRange { frames: *frames, node: NODE });
        boot(&model, &mut machine, &memory.collect::<Vec<_>>());
        let model = Box::leak(Box::new(refusing(Box::leak(Box::new(model)))));
        let mut system = Self {
            model,
            machine,
            hotplug: Hotplug::new(model, limits, storage(16, 3, 64)),
            allocator: TestAllocator::new(M::Geometry::PAGES_PER_SUBSECTION),
            notifiers: ["first", "second", "third"].map(Recorder::leaked).to_vec(),
        };
        for (notifier, priority) in system.notifiers.iter().zip([7, 7, -1]) {
            system.hotplug.register_notifier(priority, *notifier).unwrap();
        }
        for frames in early {
            system.hotplug.adopt_boot(bytes::<M::Geometry>(*frames), NODE).unwrap();
            system.allocator.boot(*frames);
        }
        system
    }

    /// Adds a section of RAM in which this many frames hold its own memmap.
    pub fn add_host(&mut self, nr: u64, memmap: PageCount) {
        let ram = Ram::default().hosting(memmap);
        self.hotplug.add_memory(&mut self.machine, sections::<M::Geometry>(nr, 1), NODE, ram).unwrap();
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            digest: self.machine.state_digest(),
            sections: (0..=SECTIONS).map(|nr| self.model.section(SectionNr::new(nr))).collect(),
            resources: self.hotplug.resources().iter().copied().collect(),
            blocks: self.hotplug.blocks().iter().copied().collect(),
            frames: self.allocator.frames(),
            pending: self.notifiers.iter().map(|notifier| notifier.is_pending()).collect(),
            done: self.notifiers.iter().map(|notifier| notifier.done_count()).collect(),
        }
    }

    pub fn section(&self, nr: u64) -> SectionState {
        self.model.section(SectionNr::new(nr))
    }

    pub fn apply(&mut self, op: Op) -> Result<(), String> {
        let Self { hotplug, machine, allocator, .. } = self;
        let text = match op {
            Op::AddMemory(frames) => {
                hotplug.add_memory(machine, frames, NODE, Ram::default().merging()).map_err(|e| e.to_string())
            }
            Op::RemoveMemory(frames) => no_loss(hotplug.remove_memory(machine, frames)),
            Op::Online(frames) => hotplug.online(allocator, frames).map_err(|e| e.to_string()),
            Op::Offline(frames) => hotplug.offline(allocator, frames).map_err(|e| e.to_string()),
            Op::AddDevice(frames) => {
                hotplug.add_device(machine, frames, NODE, "device").map_err(|e| e.to_string())
            }
            Op::RemoveDevice(frames) => no_loss(hotplug.remove_device(machine, frames)),
            Op::Plug(frames) => hotplug
                .plug(machine, allocator, frames, NODE, Ram::default().merging())
                .map_err(|e| e.to_string()),
            Op::AddDeviceRam(ranges) => {
                let ram = Ram::driver_managed("System RAM (kmem)").unwrap().merging();
                hotplug.add_device_ram(machine, &ranges, NODE, ram).map_err(|e| e.to_string())
            }
            Op::RemoveDeviceRam(ranges) => hotplug
                .remove_device_ram(machine, &ranges)
                .map(|lost| assert!(lost.is_empty(), "{lost:?}"))
                .map_err(|e| e.to_string()),
            Op::Unplug(frames) => no_loss(hotplug.unplug(machine, allocator, frames)),
        };
        self.machine.mirror_matches_tables().unwrap();
        text
    }

    /// Asserts that an operation fails with these words and changes nothing.
    pub fn refuses(&mut self, op: Op, words: &str) {
        let before = self.snapshot();
        let error = self.apply(op).expect_err(words);
        assert!(error.contains(words), "{op:?} says: {error}");
        assert_eq!(self.snapshot(), before, "{op:?} failed and left something behind");
    }
}

fn no_loss<E: core::fmt::Display>(result: Result<Retired, E>) -> Result<(), String> {
    result.map(|retired| assert!(retired.lost.is_empty(), "{retired:?}")).map_err(|error| error.to_string())
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    AddMemory(PfnRange),
    RemoveMemory(PfnRange),
    Online(PfnRange),
    Offline(PfnRange),
    AddDevice(PfnRange),
    RemoveDevice(PfnRange),
    Plug(PfnRange),
    Unplug(PfnRange),
    AddDeviceRam([PfnRange; 2]),
    RemoveDeviceRam([PfnRange; 2]),
}

impl Op {
    pub fn inverse(self) -> Self {
        match self {
            Self::AddMemory(frames) => Self::RemoveMemory(frames),
            Self::RemoveMemory(frames) => Self::AddMemory(frames),
            Self::Online(frames) => Self::Offline(frames),
            Self::Offline(frames) => Self::Online(frames),
            Self::AddDevice(frames) => Self::RemoveDevice(frames),
            Self::RemoveDevice(frames) => Self::AddDevice(frames),
            Self::Plug(frames) => Self::Unplug(frames),
            Self::Unplug(frames) => Self::Plug(frames),
            Self::AddDeviceRam(ranges) => Self::RemoveDeviceRam(ranges),
            Self::RemoveDeviceRam(ranges) => Self::AddDeviceRam(ranges),
        }
    }
}
