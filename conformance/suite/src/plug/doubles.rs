//! A page allocator and notifiers for tests: they refuse on request, and check that hotplug calls them as promised.
//!
//! # Invariants
//!
//! 1. A call that breaks the promise is recorded. It does not panic, because scenarios also run in kernels where a
//!    panic ends everything.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::{format, vec::Vec};

use sparsemem_core::primitive::{AtomicBool, AtomicU64, Ordering};
use sparsemem_core::{NodeId, PfnRange};
use sparsemem_hotplug::{
    AllocatorHooks, Direction, FramesRefused, MemoryChange, NodeChange, Notifier, Reason,
};

use crate::range;

/// The code that refuses a step, and the call in which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The allocator refuses new frames.
    Give,
    /// The allocator refuses to isolate frames.
    Isolate,
    /// The allocator refuses to evacuate frames.
    Evacuate,
    /// The notifier with this number refuses; notifiers with lower numbers are asked before.
    Notifier(usize),
}

/// The state of frames of the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameState {
    /// The allocator may hand them out.
    Usable,
    /// The allocator does not hand them out; some may be in use.
    Isolated,
    /// The allocator does not hand them out, and all are free.
    Free,
}

/// A page allocator that records ranges as it was given them.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    ranges: BTreeMap<(u64, u64), FrameState>,
    pub(super) obstacle: Option<Obstacle>,
    pub(super) broken_promise: Option<String>,
}

/// A range as a map key.
const fn key(frames: PfnRange) -> (u64, u64) {
    (frames.start().get(), frames.end().get())
}

impl Allocator {
    /// Records frames that the allocator has had since boot.
    pub(super) fn boot(&mut self, frames: PfnRange) {
        self.ranges.insert(key(frames), FrameState::Usable);
    }

    /// The allocator's ranges: first frame, first frame past the range, and state.
    pub(super) fn ranges(&self) -> Vec<(u64, u64, FrameState)> {
        self.ranges.iter().map(|((start, end), state)| (*start, *end, *state)).collect()
    }

    fn refuses(&self, call: Obstacle, frames: PfnRange) -> Result<(), FramesRefused> {
        if self.obstacle == Some(call) {
            Err(FramesRefused { frames, reason: Reason::InUse })
        } else {
            Ok(())
        }
    }

    fn change(&mut self, frames: PfnRange, from: &[Option<FrameState>], to: Option<FrameState>) {
        let was = match to {
            Some(state) => self.ranges.insert(key(frames), state),
            None => self.ranges.remove(&key(frames)),
        };
        if !from.contains(&was) {
            self.broken_promise =
                Some(format!("frames {frames} were {was:?} and not one of {from:?} before {to:?}"));
        }
    }
}

impl AllocatorHooks for Allocator {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.refuses(Obstacle::Give, frames)?;
        self.change(frames, &[None], Some(FrameState::Free));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        self.change(frames, &[Some(FrameState::Isolated), Some(FrameState::Free)], Some(FrameState::Usable));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.refuses(Obstacle::Isolate, frames)?;
        self.change(frames, &[Some(FrameState::Usable)], Some(FrameState::Isolated));
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.refuses(Obstacle::Evacuate, frames)?;
        self.change(frames, &[Some(FrameState::Isolated)], Some(FrameState::Free));
        Ok(())
    }

    fn take(&mut self, frames: PfnRange) {
        self.change(frames, &[Some(FrameState::Free)], None);
    }
}

/// A change as a notifier received it, in atomics because notifiers are shared. Only one operation at a time calls
/// the notifier, so the fields belong together.
#[derive(Debug)]
struct RecordedChange {
    /// Zero for no change; otherwise bits for direction, node change and node.
    what: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
}

impl RecordedChange {
    /// This bit is set in `what` if there is a change.
    const SOME: u64 = 1 << 63;
    /// This bit is set in `what` if the memory goes offline.
    const OFFLINE: u64 = 1 << 62;
    /// The position of the node change in `what`.
    const NODE_CHANGE: u32 = 32;

    const fn new() -> Self {
        Self { what: AtomicU64::new(0), start: AtomicU64::new(0), end: AtomicU64::new(0) }
    }

    /// Records a change.
    fn put(&self, change: Option<MemoryChange>) {
        // All accesses are relaxed: the thread that writes is the one that reads.
        let Some(MemoryChange { direction, frames, node, node_change }) = change else {
            return self.what.store(0, Ordering::Relaxed);
        };
        let offline = if direction == Direction::Offline { Self::OFFLINE } else { 0 };
        let node_change = match node_change {
            NodeChange::None => 0,
            NodeChange::First => 1,
            NodeChange::Last => 2,
        };
        let what = Self::SOME | offline | node_change << Self::NODE_CHANGE | u64::from(node.get());
        self.start.store(frames.start().get(), Ordering::Relaxed);
        self.end.store(frames.end().get(), Ordering::Relaxed);
        self.what.store(what, Ordering::Relaxed);
    }

    /// The change that was recorded last.
    fn get(&self) -> Option<MemoryChange> {
        // Relaxed for the same reason as in `put`.
        let what = self.what.load(Ordering::Relaxed);
        let (start, end) = (self.start.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        let change = || MemoryChange {
            direction: if what & Self::OFFLINE == 0 { Direction::Online } else { Direction::Offline },
            frames: range(start, end),
            node: NodeId::new(u32::try_from(what & u64::from(u32::MAX)).unwrap_or_default()),
            node_change: match what >> Self::NODE_CHANGE & 3 {
                0 => NodeChange::None,
                1 => NodeChange::First,
                _ => NodeChange::Last,
            },
        };
        (what & Self::SOME != 0).then(change)
    }
}

/// A notifier that records the changes it receives.
#[derive(Debug)]
pub(super) struct CheckingNotifier {
    name: &'static str,
    pending: RecordedChange,
    done: AtomicU64,
    refuses: AtomicBool,
    /// True if `before` and `then` record a call that breaks the promise.
    broken: AtomicBool,
    /// The change that was pending before that call.
    before: RecordedChange,
    /// The change of that call.
    then: RecordedChange,
}

impl CheckingNotifier {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            pending: RecordedChange::new(),
            done: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            before: RecordedChange::new(),
            then: RecordedChange::new(),
        }
    }

    /// Makes the notifier refuse from now on, or agree.
    pub(super) fn refuse(&self, refuses: bool) {
        // Relaxed, here and below, for the same reason as in `RecordedChange::put`.
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Says whether a change is pending, and gives the number of changes whose end the notifier received.
    pub(super) fn pending_and_ended(&self) -> (bool, u64) {
        (self.pending.get().is_some(), self.done.load(Ordering::Relaxed))
    }

    /// The last call that broke the promise.
    pub(super) fn broken_promise(&self) -> Option<String> {
        let (name, before, then) = (self.name, self.before.get(), self.then.get());
        let broken = self.broken.load(Ordering::Relaxed);
        broken
            .then(|| format!("the pending change of {name} was {before:?} when it was called with {then:?}"))
    }

    fn record_broken_promise(&self, before: Option<MemoryChange>, then: &MemoryChange) {
        self.before.put(before);
        self.then.put(Some(*then));
        self.broken.store(true, Ordering::Relaxed);
    }

    fn end(&self, change: &MemoryChange) {
        let began = self.pending.get();
        self.pending.put(None);
        if began != Some(*change) {
            self.record_broken_promise(began, change);
        }
    }
}

impl Notifier for CheckingNotifier {
    fn name(&self) -> &'static str {
        self.name
    }

    fn going(&self, change: &MemoryChange) -> Result<(), Reason> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(Reason::Policy("not now"));
        }
        let pending = self.pending.get();
        self.pending.put(Some(*change));
        if pending.is_some() {
            self.record_broken_promise(pending, change);
        }
        Ok(())
    }

    fn done(&self, change: &MemoryChange) {
        self.end(change);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn cancelled(&self, change: &MemoryChange) {
        self.end(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_change_is_read_as_it_was_written() {
        let recorded = RecordedChange::new();
        assert_eq!(recorded.get(), None);
        for direction in [Direction::Online, Direction::Offline] {
            for node_change in [NodeChange::None, NodeChange::First, NodeChange::Last] {
                let (frames, node) = (range(0x8000, 1 << 40), NodeId::new(u32::MAX));
                let change = MemoryChange { direction, frames, node, node_change };
                recorded.put(Some(change));
                assert_eq!(recorded.get(), Some(change));
            }
        }
        recorded.put(None);
        assert_eq!(recorded.get(), None);
    }
}
