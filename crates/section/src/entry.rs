//! The entry of one section: its word and its usage.
//!
//! # Invariants
//!
//! 1. All-zero bytes are an absent section: both pointers null.
//! 2. `usage` is null, or points to a usage that lives until a grace period after it was taken out of the entry.

use core::ptr::NonNull;

use sparsemem_core::const_fn;
use sparsemem_core::primitive::{AtomicPtr, Ordering};

use crate::SectionWord;

/// What a section table holds per section: two words (Linux: `struct mem_section`).
#[derive(Debug)]
#[repr(C)]
pub struct SectionEntry<P, U> {
    word: AtomicPtr<P>,
    usage: AtomicPtr<U>,
}

#[cfg(not(sparsemem_loom))]
const _: () = assert!(size_of::<SectionEntry<u64, u64>>() == 2 * size_of::<usize>());

impl<P, U> SectionEntry<P, U> {
    const_fn! {
        /// The entry of an absent section.
        #[must_use]
        pub const fn absent() -> Self {
            Self { word: AtomicPtr::new(core::ptr::null_mut()), usage: AtomicPtr::new(core::ptr::null_mut()) }
        }
    }

    /// The section word.
    #[inline]
    #[must_use]
    pub fn word(&self) -> SectionWord<P> {
        // Acquire: pairs with the Release in `set_word`, so that memmap and usage behind the word are seen.
        SectionWord::from_raw(self.word.load(Ordering::Acquire))
    }

    /// The usage, if the section has one.
    #[inline]
    #[must_use]
    pub fn usage(&self) -> Option<NonNull<U>> {
        // Acquire: pairs with the Release in `set_usage`, so that what the usage holds is seen.
        NonNull::new(self.usage.load(Ordering::Acquire))
    }

    /// Stores the word; for the writer of the model.
    pub(crate) fn set_word(&self, word: SectionWord<P>) {
        // Release: pairs with the Acquire in `word`.
        self.word.store(word.into_raw(), Ordering::Release);
    }

    /// Stores the usage; for the writer of the model.
    pub(crate) fn set_usage(&self, usage: Option<NonNull<U>>) {
        // Release: pairs with the Acquire in `usage`.
        self.usage.store(usage.map_or(core::ptr::null_mut(), NonNull::as_ptr), Ordering::Release);
    }
}
