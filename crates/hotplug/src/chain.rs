//! The chain of notifiers: it announces that memory comes online or goes offline, and each notifier may refuse.
//!
//! # Invariants
//!
//! 1. Notifiers are sorted: higher priority first, and among equal priorities in the order of registration.
//! 2. Exactly those notifiers that agreed to a change are called at its end: `done` if it happened, `cancelled` if it
//!    did not. A notifier that refuses or unwinds is not called again, and the notifiers after it are never called.

use core::fmt;

use sparsemem_core::{NodeId, PfnRange};

use crate::callbacks::for_every;
use crate::slots::Slots;
use crate::{Direction, Full, Reason};

/// The effect of a change on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// The node has other memory online, before and after the change.
    None,
    /// The node gets its first online memory.
    First,
    /// The node loses its last online memory.
    Last,
}

/// A change of memory that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryChange {
    /// The direction in which the memory is switched.
    pub direction: Direction,
    /// The memory.
    pub frames: PfnRange,
    /// Its node.
    pub node: NodeId,
    /// The effect on the node. Differs from Linux: there a second chain reports it (since 6.17).
    pub node_change: NodeChange,
}

/// Code that must know of memory that comes online or goes offline.
///
/// The three methods correspond to Linux' `MEM_GOING_ONLINE`, `MEM_ONLINE` and `MEM_CANCEL_ONLINE`, or, in the other
/// direction, to `MEM_GOING_OFFLINE`, `MEM_OFFLINE` and `MEM_CANCEL_OFFLINE`. Only the first can refuse, so only it
/// has a result: Linux ignores the results of the others (H-55). If `going` unwinds, that is a refusal. If another
/// method unwinds, it counts as having returned, and all other notifiers are still called.
///
/// Notifiers must be `Sync`, so that processors can share a [`Hotplug`](crate::Hotplug).
///
/// ```compile_fail
/// use sparsemem_hotplug::{MemoryChange, Notifier, Reason};
///
/// struct Counts(core::cell::Cell<u32>);
///
/// impl Notifier for Counts {
///     fn name(&self) -> &'static str { "counts" }
///     fn going(&self, _: &MemoryChange) -> Result<(), Reason> { Ok(()) }
///     fn done(&self, _: &MemoryChange) { self.0.set(self.0.get() + 1) }
///     fn cancelled(&self, _: &MemoryChange) {}
/// }
/// ```
pub trait Notifier: Sync {
    /// The name that errors carry.
    fn name(&self) -> &'static str;

    /// The change is about to happen.
    ///
    /// # Errors
    ///
    /// The [`Reason`] why the change must not happen. A notifier that refuses must itself undo its preparations for
    /// the change.
    fn going(&self, change: &MemoryChange) -> Result<(), Reason>;

    /// The change has happened.
    fn done(&self, change: &MemoryChange);

    /// The change does not happen, although this notifier agreed to it.
    fn cancelled(&self, change: &MemoryChange);
}

/// A notifier's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("notifier {notifier} (priority {priority}) refuses: {reason}")]
pub struct NotifierRefused {
    /// The notifier's name.
    pub notifier: &'static str,
    /// The notifier's priority.
    pub priority: i32,
    /// The notifier's reason.
    pub reason: Reason,
}

/// A notifier in the chain.
#[derive(Clone, Copy)]
pub struct Registration<'a> {
    priority: i32,
    notifier: &'a dyn Notifier,
}

impl Registration<'_> {
    /// The priority; notifiers of higher priority are called earlier.
    #[must_use]
    pub const fn priority(&self) -> i32 {
        self.priority
    }

    /// The notifier's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.notifier.name()
    }
}

impl fmt::Debug for Registration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (priority {})", self.name(), self.priority)
    }
}

/// The reason why a notifier cannot be registered or unregistered. The chain has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A notifier of this name is registered already.
    #[error("a notifier {notifier} is registered already")]
    Registered {
        /// The name.
        notifier: &'static str,
    },
    /// No notifier of this name is registered.
    #[error("no notifier is registered under that name")]
    Unknown,
    /// The chain has no room for more notifiers.
    #[error("no room for a notifier: {0}")]
    Full(#[from] Full),
}

/// The notifiers in order, in slots that the caller supplies.
#[derive(Debug)]
pub struct Chain<'a> {
    slots: Slots<'a, Registration<'a>>,
}

impl<'a> Chain<'a> {
    /// A chain without notifiers.
    pub fn new(slots: &'a mut [Option<Registration<'a>>]) -> Self {
        Self { slots: Slots::new(slots) }
    }

    /// The notifiers in the order in which they are called.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Registration<'a>> + Clone {
        self.slots.iter()
    }

    /// Adds a notifier after those of the same priority.
    ///
    /// # Errors
    ///
    /// [`ChainError::Registered`] if a notifier of that name is registered already, [`ChainError::Full`].
    pub fn register(&mut self, priority: i32, notifier: &'a dyn Notifier) -> Result<(), ChainError> {
        if self.iter().any(|member| member.name() == notifier.name()) {
            return Err(ChainError::Registered { notifier: notifier.name() });
        }
        let at = self.slots.place(|member| member.priority >= priority);
        self.slots.change(at, 0, 1)?.commit([Registration { priority, notifier }]);
        Ok(())
    }

    /// Removes the notifier of this name.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unknown`] if the chain has no notifier of this name.
    pub fn unregister(&mut self, name: &str) -> Result<(), ChainError> {
        let at = self.iter().position(|member| member.name() == name).ok_or(ChainError::Unknown)?;
        self.slots.remove(at);
        Ok(())
    }

    /// Announces a change to the notifiers in order, until one refuses. The result calls the notifiers that agreed
    /// when the change ends.
    ///
    /// Source: Linux `memory_notify`. Differs from Linux: there a cancellation goes to the whole chain, also to
    /// notifiers to which the change was never announced (H-42, D-19).
    pub(crate) fn announce(&self, change: MemoryChange) -> Announced<'_, 'a> {
        let mut announced = Announced { chain: self, change, agreed: 0, outcome: Outcome::Cancelled };
        for member in self.iter() {
            if let Err(reason) = member.notifier.going(&change) {
                let (notifier, priority) = (member.name(), member.priority);
                announced.outcome = Outcome::Refused(NotifierRefused { notifier, priority, reason });
                return announced;
            }
            announced.agreed += 1;
        }
        announced
    }
}

/// The end of a change, as reported to the notifiers that agreed to it.
#[derive(Clone, Copy)]
enum Outcome {
    Done,
    Cancelled,
    Refused(NotifierRefused),
}

/// A change that was announced. Dropping it reports to the notifiers that agreed that the change is cancelled.
#[must_use = "dropping it cancels the change for the notifiers that agreed"]
pub(crate) struct Announced<'c, 'a> {
    chain: &'c Chain<'a>,
    change: MemoryChange,
    /// The number of notifiers that agreed: the first ones of the chain.
    agreed: usize,
    outcome: Outcome,
}

impl Announced<'_, '_> {
    /// Reports whether all notifiers agreed.
    pub(crate) const fn verdict(&self) -> Result<(), NotifierRefused> {
        match self.outcome {
            Outcome::Refused(refused) => Err(refused),
            Outcome::Done | Outcome::Cancelled => Ok(()),
        }
    }

    /// The change has happened: dropping the result reports that to the notifiers that agreed.
    pub(crate) fn happened(mut self) -> Self {
        self.outcome = Outcome::Done;
        self
    }
}

impl Drop for Announced<'_, '_> {
    fn drop(&mut self) {
        for_every(self.chain.iter().take(self.agreed), |member| match self.outcome {
            Outcome::Done => member.notifier.done(&self.change),
            Outcome::Cancelled | Outcome::Refused(_) => member.notifier.cancelled(&self.change),
        });
    }
}

#[cfg(test)]
mod tests;
