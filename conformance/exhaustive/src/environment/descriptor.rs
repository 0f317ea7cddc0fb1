//! The descriptor of the walk: one and a half kilobytes, so that a few frames fill several pages and share some.
//!
//! # Invariants
//!
//! 1. A frame's mark is zero in a new descriptor until the walk settles it, and then the frame number plus one. So
//!    the walk detects descriptors that were not zeroed, two frames with one descriptor, and memory that was freed
//!    too early.

use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{PageDescriptor, Pfn, SectionNr, SectionStamp};

/// The descriptor of the models that are walked: a section stamp and a mark.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Descriptor {
    section: AtomicU64,
    mark: AtomicU64,
    rest: [AtomicU64; 190],
}

/// Bytes of a descriptor. Three of them fill a page and an eighth, and the size is not a power of two.
pub(crate) const DESCRIPTOR_BYTES: u64 = 1536;

const _: () = assert!(size_of::<Descriptor>() as u64 == DESCRIPTOR_BYTES);

// SAFETY: every field is an atomic integer, so zero bytes are valid, and there is nothing to drop.
unsafe impl PageDescriptor for Descriptor {
    unsafe fn initialise(&self, _pfn: Pfn, section: SectionNr) {
        // Relaxed: only one thread accesses it.
        self.section.store(section.get(), Ordering::Relaxed);
    }
}

// SAFETY: `initialise` stores the number that is returned.
unsafe impl SectionStamp for Descriptor {
    fn section(&self) -> SectionNr {
        SectionNr::new(self.section.load(Ordering::Relaxed))
    }
}

/// The meaning of a descriptor's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The descriptor is new.
    Fresh,
    /// The mark belongs to the frame.
    Own,
    /// The mark has any other value.
    Wrong,
}

impl Descriptor {
    /// The meaning of the mark, if this is the descriptor of `pfn`. The first and the last word must agree.
    pub(crate) fn mark(&self, pfn: u64) -> Mark {
        match (self.mark.load(Ordering::Relaxed), self.rest[189].load(Ordering::Relaxed)) {
            (0, 0) => Mark::Fresh,
            (first, last) if first == pfn + 1 && last == first => Mark::Own,
            _ => Mark::Wrong,
        }
    }

    /// Marks this as the descriptor of `pfn`.
    pub(crate) fn settle(&self, pfn: u64) {
        self.mark.store(pfn + 1, Ordering::Relaxed);
        self.rest[189].store(pfn + 1, Ordering::Relaxed);
    }
}
