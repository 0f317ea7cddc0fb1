//! Those who may refuse: a page allocator and notifiers, both of which check that they are called as promised, and a log
//! that they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sparsemem_core::{Pfn, PfnRange};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, MemoryChange, Notifier, Reason};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameState {
    Usable,
    /// Isolated, perhaps in use.
    Isolated,
    /// Isolated and free.
    Free,
}

/// The calls of an allocator. The three that have a result may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Give,
    Release,
    Isolate,
    Evacuate,
    Take,
}

/// A word that a notifier hears, or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Going,
    Refused,
    Done,
    Cancelled,
}

/// An event at the allocator or at a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The allocator does as it is asked.
    Does(Call, PfnRange),
    /// The allocator refuses.
    Refuses(Call, PfnRange),
    /// A notifier hears something.
    Hears(&'static str, Word),
}

/// The state that can be seen of the frames that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Their descriptors are not initialised.
    Blank,
    /// Initialised, and not online.
    Offline,
    /// Initialised and online.
    Online,
    /// Not all are the same.
    Mixed,
}

/// The events at an allocator and at notifiers, in one order, each with the look of the frames at that moment.
pub struct Log {
    events: Mutex<Vec<(Event, Look)>>,
    look: Box<dyn Fn() -> Look + Send + Sync>,
}

impl Log {
    /// A log that all of them write from now on.
    pub fn shared(
        look: impl Fn() -> Look + Send + Sync + 'static,
        allocator: &mut TestAllocator,
        notifiers: &[&Recorder],
    ) -> Arc<Self> {
        let log = Arc::new(Self { events: Mutex::default(), look: Box::new(look) });
        allocator.log = Some(Arc::clone(&log));
        notifiers.iter().for_each(|notifier| *notifier.log.lock().unwrap() = Some(Arc::clone(&log)));
        log
    }

    /// Takes the events since the last call of this.
    pub fn take(&self) -> Vec<(Event, Look)> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    fn note(log: Option<&Arc<Self>>, event: Event) {
        if let Some(log) = log {
            let look = (log.look)();
            log.events.lock().unwrap().push((event, look));
        }
    }
}

/// An allocator that knows its frames by subsections.
pub struct TestAllocator {
    frames: BTreeMap<u64, FrameState>,
    granule: u64,
    /// Frames whose users do not go.
    pub pinned: BTreeSet<u64>,
    /// A call that is going to be refused.
    pub refuse: Option<Call>,
    /// The number of those calls that are granted before.
    pub granted: u64,
    log: Option<Arc<Log>>,
}

impl TestAllocator {
    pub fn new(granule: u64) -> Self {
        let (frames, pinned) = (BTreeMap::new(), BTreeSet::new());
        Self { frames, granule, pinned, refuse: None, granted: 0, log: None }
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

    /// Refuses a call if it is told to.
    fn check(&mut self, call: Call, frames: PfnRange) -> Result<(), FramesRefused> {
        if self.refuse != Some(call) {
            return Ok(());
        }
        let Some(left) = self.granted.checked_sub(1) else {
            return Err(FramesRefused { frames, reason: Reason::Poisoned });
        };
        self.granted = left;
        Ok(())
    }

    /// Refuses frames that are in use.
    fn check_pins(&self, frames: PfnRange) -> Result<(), FramesRefused> {
        let pinned = self.pinned.range(frames.start().get()..frames.end().get()).next();
        pinned.map_or(Ok(()), |pfn| {
            let frames = PfnRange::new(Pfn::new(*pfn), Pfn::new(*pfn + 1)).unwrap();
            Err(FramesRefused { frames, reason: Reason::InUse })
        })
    }

    /// Writes a call and its answer down, and passes the answer on.
    fn answer(
        &self,
        call: Call,
        frames: PfnRange,
        answer: Result<(), FramesRefused>,
    ) -> Result<(), FramesRefused> {
        let event = if answer.is_ok() { Event::Does(call, frames) } else { Event::Refuses(call, frames) };
        Log::note(self.log.as_ref(), event);
        answer
    }

    fn change(&mut self, frames: PfnRange, from: &[Option<FrameState>], to: Option<FrameState>) {
        for start in self.granules(frames) {
            let state = self.frames.get(&start).copied();
            assert!(from.contains(&state), "frame {start:#x} is {state:?} and not one of {from:?}");
            match to {
                Some(state) => drop(self.frames.insert(start, state)),
                None => drop(self.frames.remove(&start)),
            }
        }
    }
}

impl AllocatorHooks for TestAllocator {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let checked = self.check(Call::Give, frames);
        self.answer(Call::Give, frames, checked)?;
        self.change(frames, &[None], Some(FrameState::Free));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        Log::note(self.log.as_ref(), Event::Does(Call::Release, frames));
        self.change(frames, &[Some(FrameState::Isolated), Some(FrameState::Free)], Some(FrameState::Usable));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let checked = self.check(Call::Isolate, frames);
        self.answer(Call::Isolate, frames, checked)?;
        self.change(frames, &[Some(FrameState::Usable)], Some(FrameState::Isolated));
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let checked = self.check(Call::Evacuate, frames).and_then(|()| self.check_pins(frames));
        self.answer(Call::Evacuate, frames, checked)?;
        self.change(frames, &[Some(FrameState::Isolated)], Some(FrameState::Free));
        Ok(())
    }

    fn take(&mut self, frames: PfnRange) {
        Log::note(self.log.as_ref(), Event::Does(Call::Take, frames));
        self.change(frames, &[Some(FrameState::Free)], None);
    }
}

/// A notifier that writes down what it hears, and checks that every beginning has one end.
pub struct Recorder {
    name: &'static str,
    pending: Mutex<Option<MemoryChange>>,
    done: Mutex<Vec<MemoryChange>>,
    cancelled: AtomicUsize,
    log: Mutex<Option<Arc<Log>>>,
    refuse: AtomicBool,
}

impl Recorder {
    pub fn leaked(name: &'static str) -> &'static Self {
        Box::leak(Box::new(Self {
            name,
            pending: Mutex::default(),
            done: Mutex::default(),
            cancelled: AtomicUsize::new(0),
            log: Mutex::default(),
            refuse: AtomicBool::new(false),
        }))
    }

    /// Makes it refuse changes from now on, or no more.
    pub fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::Relaxed);
    }

    pub fn is_pending(&self) -> bool {
        self.pending.lock().unwrap().is_some()
    }

    pub fn done_count(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    pub fn cancelled_count(&self) -> usize {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn hears(&self, word: Word) {
        Log::note(self.log.lock().unwrap().as_ref(), Event::Hears(self.name, word));
    }

    pub fn last(&self) -> Option<MemoryChange> {
        self.done.lock().unwrap().last().copied()
    }
}

impl Notifier for Recorder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn going(&self, change: &MemoryChange) -> Result<(), Reason> {
        assert!(!self.is_pending(), "{} hears of two changes at once", self.name);
        if self.refuse.load(Ordering::Relaxed) {
            self.hears(Word::Refused);
            return Err(Reason::Policy("not now"));
        }
        self.hears(Word::Going);
        *self.pending.lock().unwrap() = Some(*change);
        Ok(())
    }

    fn done(&self, change: &MemoryChange) {
        self.hears(Word::Done);
        let begun = self.pending.lock().unwrap().take();
        assert_eq!(begun, Some(*change), "{}", self.name);
        self.done.lock().unwrap().push(*change);
    }

    fn cancelled(&self, change: &MemoryChange) {
        self.hears(Word::Cancelled);
        let begun = self.pending.lock().unwrap().take();
        assert_eq!(begun, Some(*change), "{}", self.name);
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}
