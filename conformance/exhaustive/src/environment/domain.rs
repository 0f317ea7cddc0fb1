//! The readers' domain of the walk: it has one thread, so a grace period never waits for another thread.
//!
//! # Invariants
//!
//! 1. The domain is private to this crate, and no model of it is ever used by two threads: each walk has its own
//!    models.

use std::cell::Cell;
use std::marker::PhantomData;

use sparsemem_core::{GracePeriod, Reclaim};

thread_local! {
    /// The number of guards that this thread holds.
    static READERS: Cell<u64> = const { Cell::new(0) };
    /// The number of grace periods of this thread.
    static GRACES: Cell<u64> = const { Cell::new(0) };
}

/// The domain.
pub(crate) enum OneThread {}

/// Proof that this thread reads. It stays on its thread.
pub(crate) struct Reading(PhantomData<*const ()>);

impl Drop for Reading {
    fn drop(&mut self) {
        READERS.set(READERS.get() - 1);
    }
}

// SAFETY: models of this domain are used by one thread each (invariant 1), and `synchronize` does not return while
// that thread holds a guard.
unsafe impl Reclaim for OneThread {
    type Guard = Reading;

    fn enter() -> Reading {
        READERS.set(READERS.get() + 1);
        Reading(PhantomData)
    }
}

// SAFETY: (1) it returns only if this thread holds no guard; (2) no other thread has any of the same model
// (invariant 1), and within one thread everything before happens before.
unsafe impl GracePeriod for OneThread {
    fn synchronize() {
        assert!(READERS.get() == 0, "a grace period inside a reader would never end");
        GRACES.set(GRACES.get() + 1);
    }
}

/// The number of grace periods that this thread has passed.
pub(super) fn graces() -> u64 {
    GRACES.get()
}
