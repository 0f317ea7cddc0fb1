//! Any model in any surroundings, plugged.
//!
//! # Invariants
//!
//! 1. Every step is one call of [`Hotplug`], or the check that the altmap's documentation asks for and that call.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem_altmap::{AltmapModel, AltmapSpec, FramePool, MemmapRule, room_needed};
use sparsemem_core::{
    InstallModel, MarkModel, MemoryModel, MemoryRange, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange,
    RetireModel, Retired, SectionNr,
};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, Ram, RemoveError, Resource, Storage};

use super::people::{Allocator, Listener, Obstacle};
use super::{Memmap, Plug, PlugError, Snapshot, Step};
use crate::failure::Place;
use crate::spare::DeviceAltmap;
use crate::view::Parts;
use crate::{Failure, Scratch, Spare, Surroundings, View, World, range, unchecked};

/// Room in the tables beside what boot needs.
const ROOM: usize = 32;
/// Frames that the device's driver keeps for itself, in front of the altmap.
const DRIVER: PageCount = PageCount::new(2);
/// Sections that the altmap has room for.
const ALTMAP_SECTIONS: u64 = 2;
/// The notifiers, in the order in which they are asked.
pub(super) const NOTIFIERS: [&str; 3] = ["first", "second", "third"];

/// The node that everything is plugged into.
const NODE: NodeId = NodeId::new(0);

/// A model with everything that has to know of its memory.
pub(crate) struct Plugged<'a, M: MemoryModel, W> {
    model: &'a M,
    world: &'a mut W,
    hotplug: Hotplug<'a, M>,
    allocator: Allocator,
    listeners: &'a [Listener],
    altmap: Option<DeviceAltmap<'a, M::Geometry>>,
    rule: MemmapRule,
}

impl<M, W> Plugged<'_, M, W>
where
    W: Surroundings,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    /// Ties a model that is up from `memory` to everything else and lends it.
    pub(crate) fn lend(
        model: &M,
        world: &mut W,
        memory: &[MemoryRange],
        rule: MemmapRule,
        play: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let listeners = NOTIFIERS.map(Listener::new);
        let blocks = model.present_sections().count();
        let (mut blocks, mut notifiers) = (vec![None; blocks + ROOM], [None; NOTIFIERS.len()]);
        let mut resources: Vec<Option<Resource>> = vec![None; memory.len() + ROOM];
        let storage = Storage { blocks: &mut blocks, notifiers: &mut notifiers, resources: &mut resources };
        let mut hotplug = Hotplug::new(model, Limits::new(BlockSize::SECTION), storage);
        adopt(&mut hotplug, memory)?;
        for listener in &listeners {
            hotplug.register_notifier(0, listener).map_err(|error| unfit("a notifier", &error))?;
        }
        let spare = world.spare();
        let spec = spare.and_then(|spare| altmap_spec(model, rule, spare));
        let mut words = vec![0; spec.map_or(0, words_of)];
        let altmap = match (spare, spec) {
            (Some(spare), Some(spec)) => DeviceAltmap::claim(spare, spec, &mut words),
            _ => None,
        };
        let altmap = altmap.transpose().map_err(|error| unfit("an altmap", &error))?;
        let allocator = Allocator::default();
        play(&mut Plugged { model, world, hotplug, allocator, listeners: &listeners, altmap, rule })
    }

    /// Calls `operation` with the environment that the memmap is to come from.
    fn add(&mut self, frames: PfnRange, memmap: Memmap, what: Added) -> Result<(), PlugError> {
        let Self { model, world, hotplug, altmap, rule, .. } = self;
        let env = world.env_mut();
        match (memmap, altmap) {
            (Memmap::Ram, _) => what.add(hotplug, env, frames, PageCount::new(0)),
            (Memmap::Altmap, None) => Err(PlugError::NoDevice),
            (Memmap::Altmap, Some(altmap)) => {
                altmap.get().check_add(*model, *rule, frames)?;
                let memmap = altmap.get().spec().offset();
                what.add(hotplug, &mut altmap.before(env), frames, memmap)
            }
        }
    }

    /// Calls `operation` with the environment that the memmap came from.
    fn remove(&mut self, frames: PfnRange, memmap: Memmap, what: Added) -> Result<(), PlugError> {
        let Self { world, hotplug, altmap, .. } = self;
        let env = world.env_mut();
        let Retired { lost, .. } = match (memmap, altmap) {
            (Memmap::Ram, _) => what.remove(hotplug, env, frames)?,
            (Memmap::Altmap, None) => return Err(PlugError::NoDevice),
            (Memmap::Altmap, Some(altmap)) => what.remove(hotplug, &mut altmap.before(env), frames)?,
        };
        if lost.is_empty() { Ok(()) } else { Err(PlugError::Lost(lost)) }
    }
}

/// What comes or goes.
#[derive(Clone, Copy)]
enum Added {
    Memory,
    Device,
}

impl Added {
    fn add<M, E>(
        self,
        hotplug: &mut Hotplug<'_, M>,
        env: &mut E,
        frames: PfnRange,
        memmap: PageCount,
    ) -> Result<(), PlugError>
    where
        M: InstallModel<E> + RetireModel<E> + MarkModel,
    {
        match self {
            Self::Memory => hotplug.add_memory(env, frames, NODE, Ram::default().hosting(memmap))?,
            Self::Device => hotplug.add_device(env, frames, NODE, "device")?,
        }
        Ok(())
    }

    fn remove<M, E>(
        self,
        hotplug: &mut Hotplug<'_, M>,
        env: &mut E,
        frames: PfnRange,
    ) -> Result<Retired, RemoveError>
    where
        M: RetireModel<E>,
    {
        match self {
            Self::Memory => hotplug.remove_memory(env, frames),
            Self::Device => hotplug.remove_device(env, frames),
        }
    }
}

/// The failure that something does not fit the tables.
fn unfit(what: &str, error: &dyn core::fmt::Display) -> Failure {
    Failure::new(Place::Model, what, "room for it", error.to_string())
}

/// Registers the memory of boot: what is reported twice once, and as the first reporter's.
fn adopt<M: MemoryModel>(hotplug: &mut Hotplug<'_, M>, memory: &[MemoryRange]) -> Result<(), Failure> {
    let mut sorted: Vec<(PfnRange, NodeId)> = memory.iter().map(|it| (it.frames, it.node)).collect();
    sorted.sort_by_key(|(frames, _)| (frames.start(), frames.end()));
    let mut behind = 0;
    for (frames, node) in sorted {
        let fresh = range(frames.start().get().max(behind), frames.end().get());
        behind = behind.max(frames.end().get());
        if let Some(bytes) = bytes_of::<M>(fresh) {
            hotplug.adopt_boot(bytes, node).map_err(|error| unfit("memory of boot", &error))?;
        }
    }
    Ok(())
}

/// The addresses of frames; `None` if there are none that the geometry has.
fn bytes_of<M: MemoryModel>(frames: PfnRange) -> Option<PhysRange> {
    let shape = crate::Shape::of::<M::Geometry>();
    let (start, end) = (frames.start().get(), frames.end().get().min(shape.frames()));
    let address = |frame: u64| PhysAddr::new(frame << shape.page_bits);
    if start < end { PhysRange::new(address(start), address(end)).ok() } else { None }
}

/// What of the device becomes the altmap: behind the driver's frames as much as a few sections need, wherever blocks
/// have to begin.
fn altmap_spec<M: MemoryModel>(model: &M, rule: MemmapRule, spare: Spare) -> Option<AltmapSpec> {
    let device = spare.range().whole_frames::<M::Geometry>();
    let frames = crate::Shape::of::<M::Geometry>().section_frames() * ALTMAP_SECTIONS;
    let request = PfnRange::from_start_count(device.start(), PageCount::new(frames))?;
    let first = device.start().checked_add(DRIVER)?;
    let free = room_needed(model, rule, first, request)?;
    AltmapSpec::new(device.start(), DRIVER, free).ok()
}

/// Words for the altmap's bits.
fn words_of(spec: AltmapSpec) -> usize {
    usize::try_from(FramePool::words_needed(spec.free())).unwrap_or_default()
}

impl<M, W> Parts for Plugged<'_, M, W>
where
    W: Surroundings,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    type Model = M;
    type World = W;

    fn model(&self) -> &M {
        self.model
    }

    fn surroundings(&self) -> &W {
        self.world
    }
}

impl<M, W> Plug for Plugged<'_, M, W>
where
    W: Surroundings,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    fn view(&self) -> &dyn View {
        self
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.world
    }

    fn apply(&mut self, step: Step) -> Result<(), PlugError> {
        match step {
            Step::AddMemory(frames, memmap) => self.add(frames, memmap, Added::Memory),
            Step::RemoveMemory(frames, memmap) => self.remove(frames, memmap, Added::Memory),
            Step::AddDevice(frames, memmap) => self.add(frames, memmap, Added::Device),
            Step::RemoveDevice(frames, memmap) => self.remove(frames, memmap, Added::Device),
            Step::Online(frames) => Ok(self.hotplug.online(&mut self.allocator, frames)?),
            Step::Offline(frames) => Ok(self.hotplug.offline(&mut self.allocator, frames)?),
        }
    }

    fn had_since_boot(&mut self, frames: PfnRange) {
        self.allocator.boot(frames);
    }

    fn obstruct(&mut self, obstacle: Option<Obstacle>) {
        self.allocator.obstacle = obstacle;
        for (nr, listener) in self.listeners.iter().enumerate() {
            listener.refuse(obstacle == Some(Obstacle::Notifier(nr)));
        }
    }

    fn snapshot(&self, watched: &[u64]) -> Snapshot {
        let shape = self.shape();
        let section = |nr: u64| range(shape.first_frame(nr), shape.first_frame(nr + 1));
        let heard = self.listeners.iter().map(Listener::heard);
        let (waiting, heard) = heard.unzip();
        Snapshot {
            fingerprint: self.world.fingerprint(),
            balance: self.world.balance(),
            sections: watched.iter().map(|nr| (*nr, self.section(SectionNr::new(*nr)))).collect(),
            valid: watched.iter().flat_map(|nr| self.valid_ranges(section(*nr))).collect(),
            blocks: self.hotplug.blocks().iter().copied().collect(),
            resources: self.hotplug.resources().iter().copied().collect(),
            frames: self.allocator.ranges(),
            waiting,
            heard,
            altmap: self.altmap_in_use(),
            surprise: self.surprise(),
        }
    }

    fn frame_of(&self, pfn: Pfn) -> Option<Pfn> {
        unchecked::frame_of_initialised(self.model, pfn)
    }

    fn altmap_in_use(&self) -> PageCount {
        self.altmap.as_ref().map_or(PageCount::new(0), |altmap| altmap.get().in_use())
    }
}

impl<M: MemoryModel, W> Plugged<'_, M, W> {
    /// What allocator or notifiers found strange first.
    fn surprise(&self) -> Option<alloc::string::String> {
        let heard = self.listeners.iter().find_map(Listener::surprise);
        self.allocator.surprise.clone().or(heard)
    }
}
