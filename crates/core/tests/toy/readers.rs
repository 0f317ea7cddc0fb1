//! A domain of readers for the toy model, which counts what the current thread did.
//!
//! # Invariants
//!
//! 1. [`Readers::synchronize`] returns when no reader is left, whoever they are: the tests of one binary share the domain.
//! 2. What is counted is counted per thread, so that tests that run at the same time do not see each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{GracePeriod, Reclaim, Unpublished};

/// Guards of all threads.
static INSIDE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN_GUARDS: Cell<u64> = const { Cell::new(0) };
    static OWN_WAITS: Cell<u64> = const { Cell::new(0) };
}

/// The domain.
pub(crate) struct Readers;

/// A reader is inside.
pub(crate) struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        OWN_GUARDS.set(OWN_GUARDS.get() - 1);
        // SeqCst: pairs with the load in `synchronize`.
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: a guard is counted from its making to its drop, and `synchronize` waits until none is counted.
unsafe impl Reclaim for Readers {
    type Guard = Inside;

    fn enter() -> Inside {
        // SeqCst: pairs with the load in `synchronize`.
        INSIDE.fetch_add(1, Ordering::SeqCst);
        OWN_GUARDS.set(OWN_GUARDS.get() + 1);
        Inside
    }
}

// SAFETY: all guards are waited for; the counter's accesses are SeqCst, so whoever entered later sees what came before.
unsafe impl GracePeriod for Readers {
    fn synchronize() {
        OWN_WAITS.set(OWN_WAITS.get() + 1);
        // SeqCst: pairs with the changes by guards.
        while INSIDE.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
    }
}

/// Guards that this thread holds.
pub(crate) fn own_guards() -> u64 {
    OWN_GUARDS.get()
}

/// Grace periods that this thread has waited for.
pub(crate) fn own_waits() -> u64 {
    OWN_WAITS.get()
}

#[test]
fn what_was_unpublished_is_had_after_one_grace_period() {
    let before = own_waits();
    let value = Unpublished::<Readers, _>::new(String::from("a memmap"));
    assert_eq!(own_waits(), before, "nobody has asked for it yet");
    assert_eq!(value.after_grace(), "a memmap");
    assert_eq!(own_waits(), before + 1);
}
