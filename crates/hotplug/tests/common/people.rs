//! Those who may refuse: a page allocator and notifiers, both of which check that they are called as promised, and a log
//! that they share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

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

/// What a notifier hears, or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Going,
    Refused,
    Done,
    Cancelled,
}

/// What happens to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The allocator does as it is asked.
    Does(Call, PfnRange),
    /// The allocator refuses.
    Refuses(Call, PfnRange),
    /// A notifier hears something.
    Hears(&'static str, Word),
}

/// What can be seen of the frames that an operation is about.
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

/// What happens to an allocator and to notifiers, in one order, and how the frames look at that moment.
pub struct Log {
    events: RefCell<Vec<(Event, Look)>>,
    look: Box<dyn Fn() -> Look>,
}

impl Log {
    /// A log that all of them write from now on.
    pub fn shared(
        look: impl Fn() -> Look + 'static,
        allocator: &mut TestAllocator,
        notifiers: &[&Recorder],
    ) -> Rc<Self> {
        let log = Rc::new(Self { events: RefCell::default(), look: Box::new(look) });
        allocator.log = Some(Rc::clone(&log));
        notifiers.iter().for_each(|notifier| *notifier.log.borrow_mut() = Some(Rc::clone(&log)));
        log
    }

    /// What happened since the last call of this.
    pub fn take(&self) -> Vec<(Event, Look)> {
        self.events.take()
    }

    fn note(log: Option<&Rc<Self>>, event: Event) {
        if let Some(log) = log {
            log.events.borrow_mut().push((event, (log.look)()));
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
    /// How many of those calls are granted before.
    pub granted: u64,
    log: Option<Rc<Log>>,
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
    pending: Cell<Option<MemoryChange>>,
    done: RefCell<Vec<MemoryChange>>,
    cancelled: Cell<usize>,
    log: RefCell<Option<Rc<Log>>>,
    pub refuse: Cell<bool>,
}

impl Recorder {
    pub fn leaked(name: &'static str) -> &'static Self {
        Box::leak(Box::new(Self {
            name,
            pending: Cell::new(None),
            done: RefCell::default(),
            cancelled: Cell::new(0),
            log: RefCell::default(),
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

    fn hears(&self, word: Word) {
        Log::note(self.log.borrow().as_ref(), Event::Hears(self.name, word));
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
            self.hears(Word::Refused);
            return Err(Reason::Policy("not now"));
        }
        self.hears(Word::Going);
        self.pending.set(Some(*change));
        Ok(())
    }

    fn done(&self, change: &MemoryChange) {
        self.hears(Word::Done);
        assert_eq!(self.pending.take(), Some(*change), "{}", self.name);
        self.done.borrow_mut().push(*change);
    }

    fn cancelled(&self, change: &MemoryChange) {
        self.hears(Word::Cancelled);
        assert_eq!(self.pending.take(), Some(*change), "{}", self.name);
        self.cancelled.set(self.cancelled.get() + 1);
    }
}
