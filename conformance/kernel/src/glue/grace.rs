//! Protects readers from removal: they are counted, and removing memory while a reader exists panics.
//!
//! # Invariants
//!
//! 1. [`READERS`] is the number of guards that exist. A guard that is forgotten counts for ever, which is safe.

use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{GracePeriod, Reclaim};

/// The number of guards that exist.
static READERS: AtomicU64 = AtomicU64::new(0);

/// The domain of a kernel with one processor, on which no other code could end a reader while a removal waits for it.
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
    // Relaxed, and a load and a store instead of one step: there is one processor, and a trap handler that reads
    // restores the number before it returns.
    READERS.store(step(READERS.load(Ordering::Relaxed), 1), Ordering::Relaxed);
}

// SAFETY: a descriptor that was looked up stays until the same processor removes it, which waits in `synchronize` for
// every guard.
unsafe impl Reclaim for OneProcessor {
    type Guard = Guard;

    #[inline]
    fn enter() -> Self::Guard {
        count(u64::wrapping_add);
        Guard(())
    }
}

// SAFETY: it returns only if no guard exists, and later readers are on the same processor, which sees its own earlier
// stores. It does not return otherwise.
unsafe impl GracePeriod for OneProcessor {
    /// Returns if there is no reader. To wait would be to wait for ever, so a reader ends the run with a message.
    fn synchronize() {
        // Relaxed: the same processor counts.
        let readers = READERS.load(Ordering::Relaxed);
        assert!(readers == 0, "memory is removed under a reader: {readers} held, and to wait would deadlock");
    }
}
