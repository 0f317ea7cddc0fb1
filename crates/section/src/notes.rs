//! What a model remembers for its next writer.
//!
//! # Invariants
//!
//! 1. Only the holder of a [`Writing`](crate::Writing) loads and stores, so every access is relaxed: what one writer stored
//!    reaches the next one with the writer slot.

use sparsemem_core::primitive::{AtomicBool, Ordering};
use sparsemem_core::{Origin, ZeroIsNew, const_fn};

/// What a model remembers from one change to the next.
pub(crate) struct Notes {
    /// Whether any memmap has come from an altmap since the model was made or torn down.
    altmaps: AtomicBool,
}

// SAFETY: `false` is a zero byte.
unsafe impl ZeroIsNew for Notes {}

impl Notes {
    const_fn! {
        /// Nothing happened yet; all zero bytes.
        pub(crate) const fn new() -> Self {
            Self { altmaps: AtomicBool::new(false) }
        }
    }

    /// Whether any memmap may be in an altmap.
    pub(crate) fn any_altmap(&self) -> bool {
        // Relaxed: invariant 1.
        self.altmaps.load(Ordering::Relaxed)
    }

    /// Notes where a memmap came from.
    pub(crate) fn note_origin(&self, origin: Origin) {
        if origin == Origin::Altmap {
            // Relaxed: invariant 1.
            self.altmaps.store(true, Ordering::Relaxed);
        }
    }
}
