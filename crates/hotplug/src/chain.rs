//! Who is told, and may refuse, when memory comes online or goes offline.
//!
//! # Invariants
//!
//! 1. Members are in order: higher priority first, then whoever registered earlier.
//! 2. Exactly those who agreed to a change hear its end: `done` if it happened, `cancelled` if it did not. The one who
//!    refuses, or unwinds, hears nothing more, and whoever comes after it never heard anything.

use core::fmt;

use sparsemem_core::{NodeId, PfnRange};

use crate::callbacks::for_every;
use crate::slots::Slots;
use crate::{Direction, Full, Reason};

/// What a change means for its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// The node has other memory online, before and after.
    None,
    /// The node gets its first online memory.
    First,
    /// The node loses its last online memory.
    Last,
}

/// A change of memory that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryChange {
    /// Which way the memory goes.
    pub direction: Direction,
    /// The memory.
    pub frames: PfnRange,
    /// Its node.
    pub node: NodeId,
    /// What it means for the node. Differs from Linux: there a second chain tells that (since 6.17).
    pub node_change: NodeChange,
}

/// Somebody who has to know of memory that comes online or goes offline.
///
/// One direction at a time, the three methods are Linux' `MEM_GOING_ONLINE`, `MEM_ONLINE` and `MEM_CANCEL_ONLINE`, or
/// `MEM_GOING_OFFLINE`, `MEM_OFFLINE` and `MEM_CANCEL_OFFLINE`. Only the first can be refused, so only it has a result:
/// Linux ignores what the others return (H-55). A method that unwinds has done what it is called for: from `going` it is a
/// refusal, and after the others every member still hears what it has to hear.
///
/// Notifiers are shared between processors, so that [`Hotplug`](crate::Hotplug) can be: one that is not `Sync` is not a
/// notifier.
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
    /// The [`Reason`] for which it must not. What the notifier did for the change until then it has to undo itself.
    fn going(&self, change: &MemoryChange) -> Result<(), Reason>;

    /// The change has happened.
    fn done(&self, change: &MemoryChange);

    /// The change, to which this notifier had agreed, does not happen.
    fn cancelled(&self, change: &MemoryChange);
}

/// A notifier's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("notifier {notifier} (priority {priority}) refuses: {reason}")]
pub struct NotifierRefused {
    /// The notifier's name.
    pub notifier: &'static str,
    /// Its priority.
    pub priority: i32,
    /// Its reason.
    pub reason: Reason,
}

/// A notifier in the chain.
#[derive(Clone, Copy)]
pub struct Registration<'a> {
    priority: i32,
    notifier: &'a dyn Notifier,
}

impl Registration<'_> {
    /// Higher is told earlier.
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

/// Why a notifier cannot be registered or taken out. The chain is as it was.
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
    /// No room for more notifiers.
    #[error("no room for a notifier: {0}")]
    Full(#[from] Full),
}

/// The notifiers in order, in slots that the caller supplies.
#[derive(Debug)]
pub struct Chain<'a> {
    slots: Slots<'a, Registration<'a>>,
}

impl<'a> Chain<'a> {
    /// Nobody yet.
    pub fn new(slots: &'a mut [Option<Registration<'a>>]) -> Self {
        Self { slots: Slots::new(slots) }
    }

    /// The members in the order in which they are told.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Registration<'a>> + Clone {
        self.slots.iter()
    }

    /// Adds a notifier behind those of the same priority.
    ///
    /// # Errors
    ///
    /// [`ChainError::Registered`] if one of that name is there, [`ChainError::Full`].
    pub fn register(&mut self, priority: i32, notifier: &'a dyn Notifier) -> Result<(), ChainError> {
        if self.iter().any(|member| member.name() == notifier.name()) {
            return Err(ChainError::Registered { notifier: notifier.name() });
        }
        let at = self.slots.place(|member| member.priority >= priority);
        self.slots.change(at, 0, 1)?.commit([Registration { priority, notifier }]);
        Ok(())
    }

    /// Takes the notifier of this name out.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unknown`] if there is none.
    pub fn unregister(&mut self, name: &str) -> Result<(), ChainError> {
        let at = self.iter().position(|member| member.name() == name).ok_or(ChainError::Unknown)?;
        self.slots.remove(at);
        Ok(())
    }

    /// Announces a change until somebody refuses. Who agreed hears the end of it through the result.
    ///
    /// Source: Linux `memory_notify`. Differs from Linux: there a cancellation goes to the whole chain, also to those
    /// who never heard of the change (H-42, D-19).
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

/// How a change ends for those who agreed to it.
#[derive(Clone, Copy)]
enum Outcome {
    Done,
    Cancelled,
    Refused(NotifierRefused),
}

/// A change that was announced. Dropping it tells those who agreed that it is cancelled.
#[must_use = "dropping it cancels the change for those who agreed"]
pub(crate) struct Announced<'c, 'a> {
    chain: &'c Chain<'a>,
    change: MemoryChange,
    /// How many agreed: the first so many of the chain.
    agreed: usize,
    outcome: Outcome,
}

impl Announced<'_, '_> {
    /// Whether everybody agreed.
    pub(crate) const fn verdict(&self) -> Result<(), NotifierRefused> {
        match self.outcome {
            Outcome::Refused(refused) => Err(refused),
            Outcome::Done | Outcome::Cancelled => Ok(()),
        }
    }

    /// The change has happened: dropping it tells those who agreed so.
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
