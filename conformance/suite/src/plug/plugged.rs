//! Connects any model in any world with hotplug's records, an allocator and notifiers.
//!
//! # Invariants
//!
//! 1. Every step is one call of [`Hotplug`]. A step with the altmap makes the check that the altmap's documentation
//!    asks for before that call.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem_altmap::{AltmapModel, AltmapSpec, FramePool, MemmapRule, room_needed};
use sparsemem_core::{
    CompoundOrder, InstallModel, LostBlocks, MarkModel, MemoryModel, MemoryRange, NodeId, PageCount, Pfn,
    PfnRange, PhysAddr, PhysRange, QuietDescriptors, ReadOnlyTails, RetireModel, Retired, SectionNr,
};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, Ram, RemoveError, Resource, Storage};

use super::doubles::{Allocator, CheckingNotifier, Obstacle};
use super::{Memmap, Plug, PlugError, Snapshot, Step};
use crate::failure::Place;
use crate::spare::DeviceAltmap;
use crate::view::Parts;
use crate::{Failure, MemmapSource, Scratch, Spare, View, World, WorldWithEnvironment, range, unchecked};

/// Slots of the tables in addition to those that boot needs.
const ROOM: usize = 32;
/// Frames at the start of the device that its driver keeps; the altmap follows them.
const DRIVER: PageCount = PageCount::new(2);
/// The number of sections that the altmap has room for.
const ALTMAP_SECTIONS: u64 = 2;
/// The notifiers, in the order in which they are called.
pub(super) const NOTIFIERS: [&str; 3] = ["first", "second", "third"];

/// The node of all plugged memory.
const NODE: NodeId = NodeId::new(0);

/// A model with everything that records its memory.
pub(crate) struct Plugged<'a, M: MemoryModel, W> {
    model: &'a M,
    world: &'a mut W,
    hotplug: Hotplug<'a, M>,
    allocator: Allocator,
    notifiers: &'a [CheckingNotifier],
    altmap: Option<(DeviceAltmap<'a, M::Geometry>, MemmapRule)>,
}

impl<M, W> Plugged<'_, M, W>
where
    W: WorldWithEnvironment,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    /// Connects a model that was booted from `memory` with all records, and lends it.
    pub(crate) fn lend(
        model: &M,
        world: &mut W,
        memory: &[MemoryRange],
        memmaps: MemmapSource,
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let notifiers = NOTIFIERS.map(CheckingNotifier::new);
        let blocks = model.present_sections().count();
        let (mut blocks, mut slots) = (vec![None; blocks + ROOM], [None; NOTIFIERS.len()]);
        let mut resources: Vec<Option<Resource>> = vec![None; memory.len() + ROOM];
        let storage = Storage { blocks: &mut blocks, notifiers: &mut slots, resources: &mut resources };
        let mut hotplug = Hotplug::new(model, Limits::new(BlockSize::SECTION), storage);
        adopt(&mut hotplug, memory)?;
        for notifier in &notifiers {
            hotplug.register_notifier(0, notifier).map_err(|error| unfit("a notifier", &error))?;
        }
        let spare = world.spare();
        let rule = match memmaps {
            MemmapSource::AllocMemmap(rule) => Some(rule),
            MemmapSource::Other => None,
        };
        let spec = spare.zip(rule).and_then(|(spare, rule)| altmap_spec(model, rule, spare));
        let mut words = vec![0; spec.map_or(0, words_of)];
        let altmap = match (spare, spec) {
            (Some(spare), Some(spec)) => DeviceAltmap::claim(spare, spec, &mut words),
            _ => None,
        };
        let altmap = altmap.transpose().map_err(|error| unfit("an altmap", &error))?;
        let allocator = Allocator::default();
        scenario(&mut Plugged {
            model,
            world,
            hotplug,
            allocator,
            notifiers: &notifiers,
            altmap: altmap.zip(rule),
        })
    }

    /// Calls `operation` with the environment that provides the memmap.
    fn add(&mut self, frames: PfnRange, memmap: Memmap, what: Added) -> Result<(), PlugError> {
        let Self { model, world, hotplug, altmap, .. } = self;
        let env = world.env_mut();
        match (memmap, altmap) {
            (Memmap::Ram, _) => what.add(hotplug, env, frames, PageCount::new(0)),
            (Memmap::Altmap, None) => Err(PlugError::NoDevice),
            (Memmap::Altmap, Some((altmap, rule))) => {
                altmap.get().check_add(*model, *rule, frames)?;
                let memmap = altmap.get().spec().offset();
                what.add(hotplug, &mut altmap.before(env), frames, memmap)
            }
        }
    }

    /// Calls `operation` with the environment that provided the memmap.
    fn remove(&mut self, frames: PfnRange, memmap: Memmap, what: Added) -> Result<(), PlugError> {
        let Self { world, hotplug, altmap, .. } = self;
        let env = world.env_mut();
        let Retired { lost, .. } = match (memmap, altmap) {
            (Memmap::Ram, _) => what.remove(hotplug, env, frames)?,
            (Memmap::Altmap, None) => return Err(PlugError::NoDevice),
            (Memmap::Altmap, Some((altmap, _))) => what.remove(hotplug, &mut altmap.before(env), frames)?,
        };
        if lost.is_empty() { Ok(()) } else { Err(PlugError::Lost(lost)) }
    }
}

/// The kind of memory that is added or removed.
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

/// The failure that the tables have no room for something.
fn unfit(what: &str, error: &dyn core::fmt::Display) -> Failure {
    Failure::new(Place::Model, what, "room for it", error.to_string())
}

/// Registers the memory of boot. Memory that is reported twice is registered once, for the node that reported it
/// first.
fn adopt<M: MemoryModel>(hotplug: &mut Hotplug<'_, M>, memory: &[MemoryRange]) -> Result<(), Failure> {
    let mut sorted: Vec<(PfnRange, NodeId)> = memory.iter().map(|it| (it.frames, it.node)).collect();
    sorted.sort_by_key(|(frames, _)| (frames.start(), frames.end()));
    let mut end = 0;
    for (frames, node) in sorted {
        let fresh = range(frames.start().get().max(end), frames.end().get());
        end = end.max(frames.end().get());
        if let Some(bytes) = bytes_of::<M>(fresh) {
            hotplug.adopt_boot(bytes, node).map_err(|error| unfit("memory of boot", &error))?;
        }
    }
    Ok(())
}

/// The addresses of frames; `None` if the geometry does not have them.
fn bytes_of<M: MemoryModel>(frames: PfnRange) -> Option<PhysRange> {
    let shape = crate::Shape::of::<M::Geometry>();
    let (start, end) = (frames.start().get(), frames.end().get().min(shape.frames()));
    let address = |frame: u64| PhysAddr::new(frame << shape.page_bits);
    if start < end { PhysRange::new(address(start), address(end)).ok() } else { None }
}

/// The frames of the device's altmap: after the driver's frames, as many as a few sections need, at any border of
/// memory blocks.
fn altmap_spec<M: MemoryModel>(model: &M, rule: MemmapRule, spare: Spare) -> Option<AltmapSpec> {
    let device = spare.range().whole_frames::<M::Geometry>();
    let frames = crate::Shape::of::<M::Geometry>().section_frames() * ALTMAP_SECTIONS;
    let request = PfnRange::from_start_count(device.start(), PageCount::new(frames))?;
    let first = device.start().checked_add(DRIVER)?;
    let free = room_needed(model, rule, first, request)?;
    AltmapSpec::new(device.start(), DRIVER, free).ok()
}

/// The number of words that the altmap's bits need.
fn words_of(spec: AltmapSpec) -> usize {
    usize::try_from(FramePool::words_needed(spec.free())).unwrap_or_default()
}

impl<M, W> Parts for Plugged<'_, M, W>
where
    W: WorldWithEnvironment,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    type Model = M;
    type World = W;

    fn model(&self) -> &M {
        self.model
    }

    fn world_with_environment(&self) -> &W {
        self.world
    }
}

impl<M, W> Plug for Plugged<'_, M, W>
where
    W: WorldWithEnvironment,
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
            Step::AddCompounds(frames, order) => {
                let env = self.world.env_mut();
                Ok(self.hotplug.add_device_in_compounds(
                    env,
                    frames,
                    NODE,
                    "device",
                    read_only_tails(order),
                )?)
            }
            Step::RemoveDevice(frames, memmap) => self.remove(frames, memmap, Added::Device),
            Step::Online(frames) => Ok(self.hotplug.online(&mut self.allocator, frames)?),
            Step::Offline(frames) => Ok(self.hotplug.offline(&mut self.allocator, frames)?),
            Step::Fold(frames, order) => {
                let mut writer = self.model.write().ok_or(PlugError::Busy)?;
                let (tails, env) = (read_only_tails(order), self.world.env_mut());
                kept(writer.fold(env, frames, NODE, tails, nobody_writes())?.lost)
            }
            Step::Unfold(frames, _) => {
                let mut writer = self.model.write().ok_or(PlugError::Busy)?;
                kept(writer.unfold(self.world.env_mut(), frames, NODE)?.lost)
            }
        }
    }

    fn had_since_boot(&mut self, frames: PfnRange) {
        self.allocator.boot(frames);
    }

    fn obstruct(&mut self, obstacle: Option<Obstacle>) {
        self.allocator.obstacle = obstacle;
        for (nr, notifier) in self.notifiers.iter().enumerate() {
            notifier.refuse(obstacle == Some(Obstacle::Notifier(nr)));
        }
    }

    fn snapshot(&self, watched: &[u64]) -> Snapshot {
        let shape = self.shape();
        let section = |nr: u64| range(shape.first_frame(nr), shape.first_frame(nr + 1));
        let ended = self.notifiers.iter().map(CheckingNotifier::pending_and_ended);
        let (waiting, ended) = ended.unzip();
        Snapshot {
            fingerprint: self.world.fingerprint(),
            balance: self.world.balance(),
            sections: watched.iter().map(|nr| (*nr, self.section(SectionNr::new(*nr)))).collect(),
            valid: watched.iter().flat_map(|nr| self.valid_ranges(section(*nr))).collect(),
            blocks: self.hotplug.blocks().iter().copied().collect(),
            resources: self.hotplug.resources().iter().copied().collect(),
            frames: self.allocator.ranges(),
            waiting,
            ended,
            altmap: self.altmap_in_use(),
            broken_promise: self.broken_promise(),
        }
    }

    fn frame_of(&self, pfn: Pfn) -> Option<Pfn> {
        unchecked::frame_of_initialised(self.model, pfn)
    }

    fn altmap_in_use(&self) -> PageCount {
        self.altmap.as_ref().map_or(PageCount::new(0), |(altmap, _)| altmap.get().in_use())
    }
}

impl<M: MemoryModel, W> Plugged<'_, M, W> {
    /// The first broken promise that the allocator or a notifier recorded.
    fn broken_promise(&self) -> Option<alloc::string::String> {
        let notifiers = self.notifiers.iter().find_map(CheckingNotifier::broken_promise);
        self.allocator.broken_promise.clone().or(notifiers)
    }
}

/// The promise of the scenarios about the tails of compounds.
#[expect(unsafe_code, reason = "a promise about this crate's own code")]
fn read_only_tails(order: CompoundOrder) -> ReadOnlyTails {
    // SAFETY: no scenario stores to descriptors of folded compounds but those of heads.
    unsafe { ReadOnlyTails::promise(order) }
}

/// The promise of the scenarios about descriptors that move.
#[expect(unsafe_code, reason = "a promise about this crate's own code")]
fn nobody_writes() -> QuietDescriptors {
    // SAFETY: a scenario waits for its steps.
    unsafe { QuietDescriptors::promise(range(0, u64::MAX)) }
}

/// Fails if blocks were lost.
fn kept(lost: LostBlocks) -> Result<(), PlugError> {
    if lost.is_empty() { Ok(()) } else { Err(PlugError::Lost(lost)) }
}
