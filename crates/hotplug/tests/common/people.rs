//! Those who may refuse: a page allocator and notifiers, both of which check that they are called as promised.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{Pfn, PfnRange};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, MemoryChange, Notifier, Reason};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameState {
    Usable,
    Isolated,
}

/// The calls of an allocator that may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Give,
    Isolate,
    Evacuate,
}

/// An allocator that knows its frames by subsections.
pub struct TestAllocator {
    frames: BTreeMap<u64, FrameState>,
    granule: u64,
    /// Frames whose users do not go.
    pub pinned: BTreeSet<u64>,
    /// A call that is going to be refused.
    pub refuse: Option<Call>,
    /// Frames from here on are refused when they are given.
    pub refuse_from: Option<Pfn>,
}

impl TestAllocator {
    pub fn new(granule: u64) -> Self {
        Self { frames: BTreeMap::new(), granule, pinned: BTreeSet::new(), refuse: None, refuse_from: None }
    }

    /// Gets frames at boot.
    pub fn boot(&mut self, frames: PfnRange) {
        self.frames.extend(self.granules(frames).map(|start| (start, FrameState::Usable)));
    }

    pub fn frames(&self) -> Vec<(u64, FrameState)> {
        self.frames.iter().map(|(start, state)| (*start, *state)).collect()
    }

    pub fn has_usable(&self, start: u64) -> bool {
        self.frames.get(&start) == Some(&FrameState::Usable)
    }

    fn granules(&self, frames: PfnRange) -> impl Iterator<Item = u64> + use<> {
        let granule = usize::try_from(self.granule).unwrap();
        (frames.start().get()..frames.end().get()).step_by(granule)
    }

    fn check(&self, call: Call, frames: PfnRange) -> Result<(), FramesRefused> {
        let too_high = call == Call::Give && self.refuse_from.is_some_and(|from| frames.start() >= from);
        if self.refuse == Some(call) || too_high {
            return Err(FramesRefused { frames, reason: Reason::Poisoned });
        }
        Ok(())
    }

    fn change(&mut self, frames: PfnRange, from: Option<FrameState>, to: Option<FrameState>) {
        for start in self.granules(frames) {
            assert_eq!(self.frames.get(&start).copied(), from, "frame {start:#x}");
            match to {
                Some(state) => drop(self.frames.insert(start, state)),
                None => drop(self.frames.remove(&start)),
            }
        }
    }
}

impl AllocatorHooks for TestAllocator {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.check(Call::Give, frames)?;
        self.change(frames, None, Some(FrameState::Isolated));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        self.change(frames, Some(FrameState::Isolated), Some(FrameState::Usable));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.check(Call::Isolate, frames)?;
        self.change(frames, Some(FrameState::Usable), Some(FrameState::Isolated));
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.check(Call::Evacuate, frames)?;
        let pinned = self.pinned.range(frames.start().get()..frames.end().get()).next();
        pinned.map_or(Ok(()), |pfn| {
            let frames = PfnRange::new(Pfn::new(*pfn), Pfn::new(*pfn + 1)).unwrap();
            Err(FramesRefused { frames, reason: Reason::InUse })
        })
    }

    fn take(&mut self, frames: PfnRange) {
        self.change(frames, Some(FrameState::Isolated), None);
    }
}

/// A notifier that writes down what it hears, and checks that every beginning has one end.
pub struct Recorder {
    name: &'static str,
    pending: Cell<Option<MemoryChange>>,
    done: RefCell<Vec<MemoryChange>>,
    cancelled: Cell<usize>,
    pub refuse: Cell<bool>,
}

impl Recorder {
    pub fn leaked(name: &'static str) -> &'static Self {
        Box::leak(Box::new(Self {
            name,
            pending: Cell::new(None),
            done: RefCell::default(),
            cancelled: Cell::new(0),
            refuse: Cell::new(false),
        }))
    }

    pub fn is_pending(&self) -> bool {
        self.pending.get().is_some()
    }

    pub fn done_count(&self) -> usize {
        self.done.borrow().len()
    }

    pub fn cancelled_count(&self) -> usize {
        self.cancelled.get()
    }

    pub fn last(&self) -> Option<MemoryChange> {
        self.done.borrow().last().copied()
    }
}

impl Notifier for Recorder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn going(&self, change: &MemoryChange) -> Result<(), Reason> {
        assert!(!self.is_pending(), "{} hears of two changes at once", self.name);
        if self.refuse.get() {
            return Err(Reason::Policy("not now"));
        }
        self.pending.set(Some(*change));
        Ok(())
    }

    fn done(&self, change: &MemoryChange) {
        assert_eq!(self.pending.take(), Some(*change), "{}", self.name);
        self.done.borrow_mut().push(*change);
    }

    fn cancelled(&self, change: &MemoryChange) {
        assert_eq!(self.pending.take(), Some(*change), "{}", self.name);
        self.cancelled.set(self.cancelled.get() + 1);
    }
}
