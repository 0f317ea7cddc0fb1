//! Descriptors of three sizes that scenarios can write to and read.
//!
//! # Invariants
//!
//! 1. [`Scratch::put`] changes only its own descriptor, and not what the model keeps in it.

#![allow(unsafe_code, reason = "descriptors promise that zero bytes are a value of theirs")]

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{Page, PageDescriptor, Pfn, SectionNr, SectionStamp};

/// A descriptor with a word for the scenario's use.
pub trait Scratch {
    /// Stores a word.
    fn put(&self, word: u64);

    /// The word that was stored last.
    fn get(&self) -> u64;

    /// The section that the descriptor was initialised with; section 0 if it is not initialised, and `None` if it has
    /// no stamp, which is the default.
    fn stamp(&self) -> Option<SectionNr> {
        None
    }

    /// True if all bytes of the descriptor that can be read are zero.
    fn is_blank(&self) -> bool;
}

impl Scratch for Page {
    fn put(&self, word: u64) {
        self.private.store(word, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.private.load(Ordering::Relaxed)
    }

    fn stamp(&self) -> Option<SectionNr> {
        Some(self.section())
    }

    fn is_blank(&self) -> bool {
        let words = [&self.flags, &self.private].into_iter().chain(&self.links);
        let words_blank = words.into_iter().all(|word| word.load(Ordering::Relaxed) == 0);
        words_blank && self.references.load(Ordering::Relaxed) == 0 && self.section() == SectionNr::new(0)
    }
}

/// Declares a descriptor of several words: the first is the section stamp, the second the scenario's word. `is_blank`
/// checks all of them.
macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident of $words:literal words) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name([AtomicU64; $words]);

        // SAFETY: the fields are atomic integers, so zero bytes are valid, and there is nothing to drop.
        unsafe impl PageDescriptor for $name {
            unsafe fn initialise(&self, _pfn: Pfn, section: SectionNr) {
                self.0[0].store(section.get(), Ordering::Relaxed);
            }

            unsafe fn reset(&self, pfn: Pfn, section: SectionNr) {
                self.0.iter().skip(1).for_each(|word| word.store(0, Ordering::Relaxed));
                // SAFETY: the caller makes the same promise.
                unsafe { self.initialise(pfn, section) };
            }
        }

        // SAFETY: `initialise` stores the number that this loads, whole; `reset` stores no other.
        unsafe impl SectionStamp for $name {
            fn section(&self) -> SectionNr {
                SectionNr::new(self.0[0].load(Ordering::Relaxed))
            }
        }

        impl Scratch for $name {
            fn put(&self, word: u64) {
                self.0[1].store(word, Ordering::Relaxed);
            }

            fn get(&self) -> u64 {
                self.0[1].load(Ordering::Relaxed)
            }

            fn stamp(&self) -> Option<SectionNr> {
                Some(self.section())
            }

            fn is_blank(&self) -> bool {
                self.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)
            }
        }
    };
}

descriptor! {
    /// 16 bytes, the size of Redox' descriptor: four x86_64 sections share a 2 MiB mapping.
    SmallPage of 2 words
}

descriptor! {
    /// 56 bytes, which Linux' descriptor had for years and which is not a power of two: neighbouring sections share a
    /// mapping.
    OddPage of 7 words
}

const _: () = assert!(size_of::<SmallPage>() == 16 && size_of::<OddPage>() == 56);
