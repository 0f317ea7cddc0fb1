//! Those who may refuse: a page allocator and notifiers, which both check that they are called as promised.
//!
//! # Invariants
//!
//! 1. A call that breaks the promise is written down, not panicked about: scenarios also run where a panic ends everything.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::{format, vec::Vec};

use sparsemem_core::primitive::{AtomicBool, AtomicU64, Ordering};
use sparsemem_core::{NodeId, PfnRange};
use sparsemem_hotplug::{
    AllocatorHooks, Direction, FramesRefused, MemoryChange, NodeChange, Notifier, Reason,
};

use crate::range;

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The allocator does not take new frames.
    Give,
    /// The allocator does not isolate frames.
    Isolate,
    /// The users of frames do not go.
    Evacuate,
    /// The notifier of this number does not agree; those of lower numbers are asked before.
    Notifier(usize),
}

/// What the allocator does with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// It may hand them out.
    Usable,
    /// It keeps them, perhaps in use.
    Isolated,
    /// It keeps them, free.
    Free,
}

/// A page allocator that knows ranges as it got them.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    ranges: BTreeMap<(u64, u64), Hands>,
    pub(super) obstacle: Option<Obstacle>,
    pub(super) surprise: Option<String>,
}

/// A range as a key.
const fn key(frames: PfnRange) -> (u64, u64) {
    (frames.start().get(), frames.end().get())
}

impl Allocator {
    /// Frames that it has had since boot.
    pub(super) fn boot(&mut self, frames: PfnRange) {
        self.ranges.insert(key(frames), Hands::Usable);
    }

    /// What it has: first frame, one behind the last, and what it does with them.
    pub(super) fn ranges(&self) -> Vec<(u64, u64, Hands)> {
        self.ranges.iter().map(|((start, end), hands)| (*start, *end, *hands)).collect()
    }

    fn refuses(&self, call: Obstacle, frames: PfnRange) -> Result<(), FramesRefused> {
        if self.obstacle == Some(call) {
            Err(FramesRefused { frames, reason: Reason::InUse })
        } else {
            Ok(())
        }
    }

    fn change(&mut self, frames: PfnRange, from: &[Option<Hands>], to: Option<Hands>) {
        let was = match to {
            Some(hands) => self.ranges.insert(key(frames), hands),
            None => self.ranges.remove(&key(frames)),
        };
        if !from.contains(&was) {
            self.surprise =
                Some(format!("frames {frames} were {was:?} and not one of {from:?} before {to:?}"));
        }
    }
}

impl AllocatorHooks for Allocator {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.refuses(Obstacle::Give, frames)?;
        self.change(frames, &[None], Some(Hands::Free));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        self.change(frames, &[Some(Hands::Isolated), Some(Hands::Free)], Some(Hands::Usable));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.refuses(Obstacle::Isolate, frames)?;
        self.change(frames, &[Some(Hands::Usable)], Some(Hands::Isolated));
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.refuses(Obstacle::Evacuate, frames)?;
        self.change(frames, &[Some(Hands::Isolated)], Some(Hands::Free));
        Ok(())
    }

    fn take(&mut self, frames: PfnRange) {
        self.change(frames, &[Some(Hands::Free)], None);
    }
}

/// What a notifier heard, in atomics: notifiers are shared. One operation tells it at a time, so the parts belong together.
#[derive(Debug)]
struct Heard {
    /// Zero for nothing; else bits that tell direction, node change and node.
    what: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
}

impl Heard {
    /// Set in `what` if there is a change.
    const SOME: u64 = 1 << 63;
    /// Set in `what` of memory that goes offline.
    const OFFLINE: u64 = 1 << 62;
    /// Place in `what` of the change of the node.
    const NODE_CHANGE: u32 = 32;

    const fn new() -> Self {
        Self { what: AtomicU64::new(0), start: AtomicU64::new(0), end: AtomicU64::new(0) }
    }

    /// Writes a change down.
    fn put(&self, change: Option<MemoryChange>) {
        // Relaxed, all of them: who reads them is the thread that wrote them.
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

    /// What was written down last.
    fn get(&self) -> Option<MemoryChange> {
        // Relaxed: as in `put`.
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

/// A notifier that writes down what it hears.
#[derive(Debug)]
pub(super) struct Listener {
    name: &'static str,
    pending: Heard,
    done: AtomicU64,
    refuses: AtomicBool,
    /// Whether the two that follow are something strange.
    surprised: AtomicBool,
    /// What it was asked for when it heard what it should not.
    before: Heard,
    /// What it heard then.
    then: Heard,
}

impl Listener {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            pending: Heard::new(),
            done: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            surprised: AtomicBool::new(false),
            before: Heard::new(),
            then: Heard::new(),
        }
    }

    /// Refuses from now on, or agrees.
    pub(super) fn refuse(&self, refuses: bool) {
        // Relaxed, here and below: as in `Heard::put`.
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Whether it was asked and has not heard the end, and how many changes it heard the end of.
    pub(super) fn heard(&self) -> (bool, u64) {
        (self.pending.get().is_some(), self.done.load(Ordering::Relaxed))
    }

    /// What it found strange last.
    pub(super) fn surprise(&self) -> Option<String> {
        let (name, before, then) = (self.name, self.before.get(), self.then.get());
        let surprised = self.surprised.load(Ordering::Relaxed);
        surprised.then(|| format!("{name} had been asked for {before:?} when it was told of {then:?}"))
    }

    fn is_surprised(&self, before: Option<MemoryChange>, then: &MemoryChange) {
        self.before.put(before);
        self.then.put(Some(*then));
        self.surprised.store(true, Ordering::Relaxed);
    }

    fn end(&self, change: &MemoryChange) {
        let began = self.pending.get();
        self.pending.put(None);
        if began != Some(*change) {
            self.is_surprised(began, change);
        }
    }
}

impl Notifier for Listener {
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
            self.is_surprised(pending, change);
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
    fn what_was_heard_comes_out_as_it_went_in() {
        let heard = Heard::new();
        assert_eq!(heard.get(), None);
        for direction in [Direction::Online, Direction::Offline] {
            for node_change in [NodeChange::None, NodeChange::First, NodeChange::Last] {
                let (frames, node) = (range(0x8000, 1 << 40), NodeId::new(u32::MAX));
                let change = MemoryChange { direction, frames, node, node_change };
                heard.put(Some(change));
                assert_eq!(heard.get(), Some(change));
            }
        }
        heard.put(None);
        assert_eq!(heard.get(), None);
    }
}
