//! The readers' domain of the walk: a domain for threads that also counts grace periods and detects one inside a reader.
//!
//! # Invariants
//!
//! 1. A guard stays on its thread and counts there, so a thread knows whether it reads itself.

use std::cell::Cell;
use std::marker::PhantomData;

use sparsemem_core::{GracePeriod, Reclaim};
use sparsemem_machine::{HostGuard, HostRcu};

thread_local! {
    /// The number of guards that this thread holds.
    static READERS: Cell<u64> = const { Cell::new(0) };
    /// The number of grace periods of this thread.
    static GRACES: Cell<u64> = const { Cell::new(0) };
}

/// The domain of the readers of a model that is walked.
///
/// A grace period inside a reader of the same thread panics, because it would never end.
pub enum Readers {}

/// Proof that this thread reads. It stays on its thread.
#[must_use = "the reader leaves when the guard is dropped"]
pub struct Reading {
    /// Held until this is dropped.
    _inside: HostGuard<Readers>,
    of_thread: PhantomData<*const ()>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        READERS.set(READERS.get() - 1);
    }
}

// SAFETY: a guard of `HostRcu` is inside each guard, and `synchronize` waits as that domain does.
unsafe impl Reclaim for Readers {
    type Guard = Reading;

    fn enter() -> Reading {
        READERS.set(READERS.get() + 1);
        Reading { _inside: HostRcu::enter(), of_thread: PhantomData }
    }
}

// SAFETY: `HostRcu` keeps the promise for the guards that are inside these.
unsafe impl GracePeriod for Readers {
    fn synchronize() {
        assert!(READERS.get() == 0, "a grace period inside a reader would never end");
        HostRcu::<Self>::synchronize();
        GRACES.set(GRACES.get() + 1);
    }
}

/// The number of grace periods that this thread has passed.
pub(super) fn graces() -> u64 {
    GRACES.get()
}
