//! A reclaim domain with cheap readers, for measuring readers against a writer: what a kernel's RCU is, without a kernel.
//!
//! # Invariants
//!
//! 1. A thread's count is odd while it holds a guard, and belongs to that thread alone.
//! 2. A grace period waits for every count that is odd at its start to change.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use sparsemem_core::{GracePeriod, Reclaim};

/// Threads that can read at the same time.
const THREADS: usize = 64;

/// A count on cache lines of its own.
#[repr(align(128))]
struct Count(AtomicU64);

static COUNTS: [Count; THREADS] = [const { Count(AtomicU64::new(0)) }; THREADS];
/// Counts that were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Those of them whose threads have ended.
static FREE: Mutex<Vec<&'static Count>> = Mutex::new(Vec::new());

/// The state of one thread.
struct Own {
    count: &'static Count,
    /// The number of guards that it holds.
    guards: Cell<u32>,
}

thread_local! {
    static OWN: Own = Own { count: claim(), guards: Cell::new(0) };
}

/// A count for a new thread.
fn claim() -> &'static Count {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    free.pop().unwrap_or_else(|| {
        // Relaxed: only the number matters, and the lock is held.
        let index = USED.fetch_add(1, Ordering::Relaxed);
        assert!(index < THREADS, "measurements have fewer threads");
        &COUNTS[index]
    })
}

impl Drop for Own {
    fn drop(&mut self) {
        // Guards stay on their thread, so the count is even now.
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.count);
    }
}

/// The domain.
#[derive(Debug)]
pub struct Counted;

/// Proof that a reader is inside, on the thread that entered.
#[derive(Debug)]
#[must_use = "the reader leaves when the guard is dropped"]
pub struct Inside(PhantomData<*const ()>);

// SAFETY: while a guard lives, the count of its thread is odd and does not change (invariant 1; guards stay on their
// thread), so a grace period that started after waits (invariant 2). The fence in `enter` and the one in `synchronize`
// order the two: either the grace period sees the odd count, or the reader sees what was done before the grace period.
unsafe impl Reclaim for Counted {
    type Guard = Inside;

    #[inline]
    fn enter() -> Inside {
        OWN.with(|Own { count, guards }| {
            if guards.get() == 0 {
                // Relaxed: only this thread stores; the fence does the rest.
                count.0.store(count.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                // Pairs with the fence in `synchronize`.
                fence(Ordering::SeqCst);
            }
            guards.set(guards.get() + 1);
        });
        Inside(PhantomData)
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        OWN.with(|Own { count, guards }| {
            guards.set(guards.get() - 1);
            if guards.get() == 0 {
                // Release: what was read is read before the grace period ends.
                count.0.store(count.0.load(Ordering::Relaxed) + 1, Ordering::Release);
            }
        });
    }
}

// SAFETY: as above; the Acquire loads make what readers did happen before the return.
unsafe impl GracePeriod for Counted {
    fn synchronize() {
        // Pairs with the fence in `enter`.
        fence(Ordering::SeqCst);
        // Relaxed: a thread claims its count before its first fence, and that orders it as it orders the count.
        let used = USED.load(Ordering::Relaxed);
        for count in COUNTS.iter().take(used) {
            // Acquire, both: pair with the Release of the drop.
            let now = count.0.load(Ordering::Acquire);
            while now % 2 == 1 && count.0.load(Ordering::Acquire) == now {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counted;
    use sparsemem_core::{GracePeriod, Reclaim};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_grace_period_waits_for_the_outermost_guard_of_a_reader() {
        static DONE: AtomicBool = AtomicBool::new(false);
        let guard = Counted::enter();
        drop(Counted::enter());
        let writer = std::thread::spawn(|| {
            Counted::synchronize();
            DONE.store(true, Ordering::SeqCst);
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!DONE.load(Ordering::SeqCst), "the reader is still inside");
        drop(guard);
        writer.join().unwrap();
        assert!(DONE.load(Ordering::SeqCst));
    }

    #[test]
    fn threads_that_ended_leave_their_counts_to_others() {
        for _ in 0..3 * super::THREADS {
            std::thread::spawn(|| drop(Counted::enter())).join().unwrap();
        }
    }
}
