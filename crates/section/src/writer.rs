//! The writer of a model: proof that no other slow operation runs.
//!
//! # Invariants
//!
//! 1. At most one [`Writer`] of a model exists at a time.

use sparsemem_core::const_fn;
use sparsemem_core::primitive::{AtomicBool, Ordering};

/// The flag behind a model's writers.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct WriterSlot {
    taken: AtomicBool,
}

impl WriterSlot {
    const_fn! {
        /// A slot that nobody has taken.
        pub(crate) const fn new() -> Self {
            Self { taken: AtomicBool::new(false) }
        }
    }

    /// Takes the slot, or `None` if another operation has it. Never waits: a kernel serialises its hotplug itself.
    pub(crate) fn take(&self) -> Option<Writer<'_>> {
        // Acquire: pairs with the Release in `drop`, so that what the last writer did is seen.
        let free = self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Lazily: a writer that is made and dropped would give the other one's slot back.
        free.then(|| Writer { slot: self })
    }
}

/// The right to change a model; given back when dropped.
#[derive(Debug)]
#[must_use = "the model is free for the next writer as soon as this is dropped"]
pub(crate) struct Writer<'m> {
    slot: &'m WriterSlot,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `take`.
        self.slot.taken.store(false, Ordering::Release);
    }
}

#[cfg(all(test, not(sparsemem_loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_takes_nothing_and_gives_nothing_back() {
        let slot = WriterSlot::new();
        let first = slot.take().unwrap();
        assert!(slot.take().is_none());
        assert!(slot.take().is_none(), "the one who was turned away gave the slot back");
        drop(first);
        assert!(slot.take().is_some());
    }
}
