//! How readers are protected from removal: they are counted, and whoever removes under one of them is stopped.
//!
//! # Invariants
//!
//! 1. [`READERS`] is the number of guards that are alive. A guard that is forgotten counts for ever, which is safe.

use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{GracePeriod, Reclaim};

/// Guards that are alive.
static READERS: AtomicU64 = AtomicU64::new(0);

/// A kernel of one processor, where nobody else could end a reader that is waited for.
pub(crate) struct OneProcessor;

/// A reader of this processor.
#[derive(Debug)]
pub(crate) struct Guard(());

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        count(u64::wrapping_sub);
    }
}

/// Counts a reader in or out.
#[inline]
fn count(step: fn(u64, u64) -> u64) {
    // Relaxed, and a load and a store instead of one step: there is one processor, and a trap handler that reads leaves
    // the number as it found it.
    READERS.store(step(READERS.load(Ordering::Relaxed), 1), Ordering::Relaxed);
}

// SAFETY: what is looked up stays until the same processor removes it, which waits in `synchronize` for every guard.
unsafe impl Reclaim for OneProcessor {
    type Guard = Guard;

    #[inline]
    fn enter() -> Self::Guard {
        count(u64::wrapping_add);
        Guard(())
    }
}

// SAFETY: it returns only if no guard is alive, and readers that come later are on the same processor, which sees what
// it has done itself. It does not return otherwise.
unsafe impl GracePeriod for OneProcessor {
    /// Goes on if nobody reads. To wait would be to wait for ever, so a reader ends the run in words.
    fn synchronize() {
        // Relaxed: the same processor counts.
        let readers = READERS.load(Ordering::Relaxed);
        assert!(readers == 0, "memory is removed under a reader: {readers} held, and to wait would deadlock");
    }
}
