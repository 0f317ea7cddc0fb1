//! What a page descriptor has to be, and a standard one.
//!
//! # Invariants
//!
//! 1. All-zero bytes are a valid descriptor, so a fresh memmap needs no pass over it before lookups may return it.
//! 2. A descriptor never moves: kernels keep pointers to it and links in it.

use crate::primitive::{AtomicU32, AtomicU64, Ordering};
use crate::{MemoryModel, PageCount, Pfn, PfnRange, SectionNr};

/// The record that a kernel keeps for one page frame.
///
/// # Safety
///
/// All-zero bytes must be a valid value, and dropping a value must not be necessary: memmaps are allocated as zeroed
/// bytes and given back as bytes. What [`PageDescriptor::initialised`] returns must be what
/// [`PageDescriptor::initialise`] makes of zero bytes, and any number of copies of its bytes must be values as good as
/// it: they are made, and none of them is dropped.
pub unsafe trait PageDescriptor: Sized + Send + Sync + 'static {
    /// Prepares the descriptor of `pfn`, once, before anything but lookups touches it. Does nothing by default.
    ///
    /// Linux does the same in `__init_single_page`; on large machines it may be done late and in parallel.
    fn initialise(&self, pfn: Pfn, section: SectionNr) {
        let _ = (pfn, section);
    }

    /// What [`PageDescriptor::initialise`] makes of zero bytes, if that is the same for every frame of a section, so that
    /// [`initialise_fresh`](crate::initialise_fresh) can write whole descriptors. `None` by default.
    #[must_use]
    fn initialised(section: SectionNr) -> Option<Self> {
        let _ = section;
        None
    }
}

/// A descriptor that knows its section, which the table models need to get from a descriptor back to its frame.
///
/// Source: Linux keeps the section number in `page->flags` for the models without a virtual memmap (W-42).
///
/// # Safety
///
/// After [`PageDescriptor::initialise`] with a section, and of what [`PageDescriptor::initialised`] returns for it,
/// [`SectionStamp::section`] is that section.
pub unsafe trait SectionStamp: PageDescriptor {
    /// The section that the descriptor was initialised with.
    fn section(&self) -> SectionNr;
}

/// Initialises the descriptor of every valid frame in `frames` and returns how many there were.
///
/// Cost follows the valid frames; call it per node, or in parallel over disjoint ranges, when the machine is large.
/// Before anybody uses the descriptors, [`initialise_fresh`](crate::initialise_fresh) is several times as fast.
pub fn initialise<M: MemoryModel>(model: &M, frames: PfnRange) -> PageCount {
    let mut done = 0;
    for run in model.valid_ranges(frames) {
        // A reader per run, not for all of them: removal waits for readers, and a machine may have billions of frames.
        let reader = model.read();
        let mut pfn = run.start();
        while pfn < run.end() {
            if let Some(page) = reader.page(pfn) {
                page.initialise(pfn, pfn.section::<M::Geometry>());
                done += 1;
            }
            pfn = pfn.saturating_add(PageCount::new(1));
        }
    }
    PageCount::new(done)
}

/// A 64-byte descriptor with the fields that most kernels want first.
///
/// It fills one cache line, as Linux' `struct page` does on 64-bit machines, and its size is a power of two, so that
/// getting from descriptor to frame is a shift.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Page {
    /// State bits of the kernel's choice.
    pub flags: AtomicU64,
    /// References to the page.
    pub references: AtomicU32,
    section: AtomicU32,
    /// The owner's word: buddy order, file offset, anything.
    pub private: AtomicU64,
    /// Links for a list that the kernel threads through its pages.
    pub links: [AtomicU64; 2],
    rest: [AtomicU64; 3],
}

#[cfg(not(sparsemem_loom))]
const _: () = assert!(size_of::<Page>() == 64 && align_of::<Page>() == 64);

// SAFETY: every field is an atomic integer: zero bytes are valid, and there is nothing to drop.
unsafe impl PageDescriptor for Page {
    fn initialise(&self, _pfn: Pfn, section: SectionNr) {
        #[expect(clippy::cast_possible_truncation, reason = "SectionShape::CHECK: at most 2^32 sections")]
        // Relaxed: whoever hands the frame out publishes the descriptor; see `SectionStamp`.
        self.section.store(section.get() as u32, Ordering::Relaxed);
    }

    fn initialised(section: SectionNr) -> Option<Self> {
        let zero = || AtomicU64::new(0);
        Some(Self {
            flags: zero(),
            references: AtomicU32::new(0),
            #[expect(clippy::cast_possible_truncation, reason = "as in `initialise`")]
            section: AtomicU32::new(section.get() as u32),
            private: zero(),
            links: [zero(), zero()],
            rest: [zero(), zero(), zero()],
        })
    }
}

// SAFETY: `initialise` above stores the number that `section` loads; no geometry has more sections than 32 bits can
// tell apart (`SectionShape::CHECK`).
unsafe impl SectionStamp for Page {
    #[inline]
    fn section(&self) -> SectionNr {
        // Relaxed: pairs with the store in `initialise` through whatever published the frame.
        SectionNr::new(u64::from(self.section.load(Ordering::Relaxed)))
    }
}
