//! Those who may refuse: a page allocator and notifiers, which both check that they are called as promised.
//!
//! # Invariants
//!
//! 1. A call that breaks the promise is written down, not panicked about: scenarios also run where a panic ends everything.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::{format, vec::Vec};
use core::cell::{Cell, RefCell};

use sparsemem_core::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, MemoryChange, Notifier, Reason};

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

/// A notifier that writes down what it hears.
#[derive(Debug)]
pub(super) struct Listener {
    name: &'static str,
    pending: Cell<Option<MemoryChange>>,
    done: Cell<u64>,
    pub(super) refuses: Cell<bool>,
    pub(super) surprise: RefCell<Option<String>>,
}

impl Listener {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            pending: Cell::new(None),
            done: Cell::new(0),
            refuses: Cell::new(false),
            surprise: RefCell::new(None),
        }
    }

    /// Whether it was asked and has not heard the end, and how many changes it heard the end of.
    pub(super) fn heard(&self) -> (bool, u64) {
        (self.pending.get().is_some(), self.done.get())
    }

    fn end(&self, change: &MemoryChange) {
        let began = self.pending.take();
        if began != Some(*change) {
            *self.surprise.borrow_mut() =
                Some(format!("{} was asked for {began:?} and then told of {change:?}", self.name));
        }
    }
}

impl Notifier for Listener {
    fn name(&self) -> &'static str {
        self.name
    }

    fn going(&self, change: &MemoryChange) -> Result<(), Reason> {
        if self.refuses.get() {
            return Err(Reason::Policy("not now"));
        }
        if let Some(pending) = self.pending.replace(Some(*change)) {
            *self.surprise.borrow_mut() = Some(format!("{} heard no end of {pending:?}", self.name));
        }
        Ok(())
    }

    fn done(&self, change: &MemoryChange) {
        self.end(change);
        self.done.set(self.done.get() + 1);
    }

    fn cancelled(&self, change: &MemoryChange) {
        self.end(change);
    }
}
