//! Doubles that may refuse: the allocator, which uses its memory, and notifiers; and the bytes between driver and
//! device.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{Pfn, PfnRange, PhysAddr, SectionShape};
use sparsemem_hotplug::{AllocatorHooks, Direction, FramesRefused, MemoryChange, Notifier, Reason};
use sparsemem_machine::VirtioMemDevice;
use sparsemem_virtio_mem::{Answer, Config, Device, Fault, Features, KeepsOff, Request};

/// The double that panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panics {
    Device,
    Allocator,
}

/// A call: panics if it is the one.
fn tick(bomb: &Cell<Option<u32>>) {
    match bomb.get() {
        Some(0) => {
            bomb.set(None);
            // As a panic, without its message.
            std::panic::resume_unwind(Box::new("as it was told to"));
        }
        left => bomb.set(left.map(|left| left - 1)),
    }
}

/// The device behind its bytes.
pub struct Wire {
    device: VirtioMemDevice,
    pub features: Features,
    pub bomb: Cell<Option<u32>>,
}

impl Wire {
    pub fn new(device: &VirtioMemDevice) -> Self {
        Self { device: device.clone(), features: Features::all(), bomb: Cell::new(None) }
    }
}

impl Device for Wire {
    fn config(&mut self) -> Result<Config, Fault> {
        Ok(Config::decode(&self.device.config(), self.features)?)
    }

    fn request(&mut self, request: Request) -> Result<Answer, Fault> {
        tick(&self.bomb);
        Ok(Answer::decode(request, &self.device.answer(&request.encode()))?)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameState {
    Usable,
    /// Isolated, perhaps in use.
    Isolated,
    /// Isolated and free.
    Free,
}

/// The calls of the allocator that may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Give,
    Isolate,
    Evacuate,
}

/// An allocator that knows its frames by subsections, and writes a word to each of them while it may use it.
pub struct Pages {
    frames: BTreeMap<u64, FrameState>,
    device: VirtioMemDevice,
    /// Frames whose users do not go.
    pub pinned: BTreeSet<u64>,
    /// A call that is going to be refused.
    pub refuse: Option<Call>,
    pub bomb: Cell<Option<u32>>,
    /// Touches the frames already when it is given them, which it must not.
    pub touches_early: bool,
}

const GRANULE: u64 = X86_64::PAGES_PER_SUBSECTION;

impl Pages {
    pub fn new(boot: PfnRange, device: &VirtioMemDevice) -> Self {
        let frames = granules(boot).map(|start| (start, FrameState::Usable)).collect();
        let (device, pinned) = (device.clone(), BTreeSet::new());
        Self { frames, device, pinned, refuse: None, bomb: Cell::new(None), touches_early: false }
    }

    pub fn frames(&self) -> Vec<(u64, FrameState)> {
        self.frames.iter().map(|(start, state)| (*start, *state)).collect()
    }

    pub fn has_usable(&self, start: u64) -> bool {
        self.frames.get(&start) == Some(&FrameState::Usable)
    }

    fn check(&self, call: Call, frames: PfnRange) -> Result<(), FramesRefused> {
        let reason = if call == Call::Give { Reason::Poisoned } else { Reason::InUse };
        if self.refuse == Some(call) { Err(FramesRefused { frames, reason }) } else { Ok(()) }
    }

    fn change(&mut self, frames: PfnRange, from: &[Option<FrameState>], to: Option<FrameState>) {
        for start in granules(frames) {
            let state = self.frames.get(&start).copied();
            assert!(from.contains(&state), "frame {start:#x} is {state:?} and not one of {from:?}");
            match to {
                Some(state) => drop(self.frames.insert(start, state)),
                None => drop(self.frames.remove(&start)),
            }
        }
    }

    /// The addresses of subsections that are the device's.
    fn addresses(&self, frames: PfnRange) -> impl Iterator<Item = PhysAddr> {
        let region = self.device.region();
        granules(frames)
            .filter_map(|start| Pfn::new(start).phys::<X86_64>())
            .filter(move |at| region.contains(*at))
    }

    /// Uses frames that are the device's.
    fn store(&self, frames: PfnRange) {
        for at in self.addresses(frames) {
            self.device.store(at, !at.get()).unwrap();
        }
    }

    /// Checks that nobody else has used them.
    fn load(&self, frames: PfnRange) {
        for at in self.addresses(frames) {
            assert_eq!(self.device.load(at).unwrap(), !at.get(), "what was stored at {at}");
        }
    }
}

fn granules(frames: PfnRange) -> impl Iterator<Item = u64> {
    let step = usize::try_from(GRANULE).unwrap();
    (frames.start().get()..frames.end().get()).step_by(step)
}

impl AllocatorHooks for Pages {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        tick(&self.bomb);
        self.check(Call::Give, frames)?;
        if self.touches_early {
            self.store(frames);
        }
        self.change(frames, &[None], Some(FrameState::Free));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        self.change(frames, &[Some(FrameState::Isolated), Some(FrameState::Free)], Some(FrameState::Usable));
        self.store(frames);
        tick(&self.bomb);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        tick(&self.bomb);
        self.check(Call::Isolate, frames)?;
        self.load(frames);
        self.change(frames, &[Some(FrameState::Usable)], Some(FrameState::Isolated));
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        tick(&self.bomb);
        self.check(Call::Evacuate, frames)?;
        if let Some(pinned) = self.pinned.range(frames.start().get()..frames.end().get()).next() {
            let frames = PfnRange::new(Pfn::new(*pinned), Pfn::new(*pinned + 1)).unwrap();
            return Err(FramesRefused { frames, reason: Reason::InUse });
        }
        self.load(frames);
        self.change(frames, &[Some(FrameState::Isolated)], Some(FrameState::Free));
        Ok(())
    }

    fn take(&mut self, frames: PfnRange) {
        self.change(frames, &[Some(FrameState::Free)], None);
        tick(&self.bomb);
    }
}

impl KeepsOff for Pages {}

/// A notifier that writes down what happened, and checks that every beginning has one end.
pub struct Recorder {
    name: &'static str,
    pending: Mutex<Option<MemoryChange>>,
    done: Mutex<Vec<(Direction, PfnRange)>>,
    refuse: AtomicBool,
}

impl Recorder {
    pub fn leaked(name: &'static str) -> &'static Self {
        let (pending, done) = (Mutex::default(), Mutex::default());
        Box::leak(Box::new(Self { name, pending, done, refuse: AtomicBool::new(false) }))
    }

    /// Makes it refuse changes from now on, or no more.
    pub fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::Relaxed);
    }

    pub fn is_pending(&self) -> bool {
        self.pending.lock().unwrap().is_some()
    }

    /// Takes the events since the last call of this.
    pub fn take(&self) -> Vec<(Direction, PfnRange)> {
        std::mem::take(&mut *self.done.lock().unwrap())
    }
}

impl Notifier for Recorder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn going(&self, change: &MemoryChange) -> Result<(), Reason> {
        assert!(!self.is_pending(), "{} hears of two changes at once", self.name);
        if self.refuse.load(Ordering::Relaxed) {
            return Err(Reason::Policy("not now"));
        }
        *self.pending.lock().unwrap() = Some(*change);
        Ok(())
    }

    fn done(&self, change: &MemoryChange) {
        assert_eq!(self.pending.lock().unwrap().take(), Some(*change), "{}", self.name);
        self.done.lock().unwrap().push((change.direction, change.frames));
    }

    fn cancelled(&self, change: &MemoryChange) {
        assert_eq!(self.pending.lock().unwrap().take(), Some(*change), "{}", self.name);
    }
}
