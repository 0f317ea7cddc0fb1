//! The contract of a page descriptor, and a standard descriptor.
//!
//! # Invariants
//!
//! 1. All-zero bytes are a valid descriptor, so lookups may return a fresh memmap before it is initialised.
//! 2. A descriptor never moves: kernels keep pointers to it and links in it.
//! 3. Data that a user of a frame wrote to its descriptor stays after the use, until [`PageDescriptor::reset`] before
//!    the next.

use crate::compound::own_runs;
use crate::primitive::{AtomicU32, AtomicU64, Ordering};
use crate::{MemoryModel, PageCount, Pfn, PfnRange, SectionNr, SectionStamp, Stamp};

/// The record that a kernel keeps for one page frame.
///
/// [`Page`] is a ready-made descriptor, a [`Stamp`] the ready-made field for one of the kernel's own.
///
/// Code that may look a page up may not stamp it with another section, because the frame is computed from the stamp:
///
/// ```compile_fail
/// use sparsemem_core::{Page, PageDescriptor, Pfn, SectionNr};
///
/// fn forge(page: &Page) {
///     page.initialise(Pfn::new(5), SectionNr::new(0xffff_ffff));
/// }
/// ```
///
/// # Safety
///
/// All-zero bytes must be a valid value, and dropping a value must not be necessary: memmaps are allocated as zeroed
/// bytes and given back as bytes. [`PageDescriptor::initialised`] must return the value that
/// [`PageDescriptor::initialise`] makes of zero bytes, and any number of copies of its bytes must be equally valid
/// values: copies are made, and none of them is dropped. No method unwinds, and all of them may be called at any time
/// and by several processors at once: requirements outside a `# Safety` section protect only the data.
pub unsafe trait PageDescriptor: Sized + Send + Sync + 'static {
    /// Prepares the descriptor of `pfn`, whose bytes were zero when it was made: writes the section into its [`Stamp`], if it
    /// has one.
    ///
    /// It writes only the fields that the model needs and leaves the rest, which a user of the frame may be using: so
    /// it may be called at any time, and again. There is no default, which a descriptor with a stamp could inherit by
    /// mistake. Source: Linux `__init_single_page`; on large machines it may run late
    /// and in parallel.
    ///
    /// Callers use [`initialise`] or [`initialise_fresh`](crate::initialise_fresh), which know the frame.
    ///
    /// # Safety
    ///
    /// This is the descriptor of `pfn`, or of no frame, and `section` is the section of `pfn`: the path from a
    /// descriptor back to its frame relies on the stamp.
    unsafe fn initialise(&self, pfn: Pfn, section: SectionNr);

    /// Makes the descriptor of `pfn` as good as new for another user of the frame. Initialises it by default, which is
    /// enough for descriptors in which users leave nothing; other descriptors clear their users' data here.
    ///
    /// No user has the frame meanwhile, but lookups may return its descriptor, and [`SectionStamp::section`] must keep
    /// its value. Source: Linux zeroes each `struct page` in `__init_single_page`, also when memory is online again or
    /// when a device is added in a hole of boot (H-41). Callers use [`reset`].
    ///
    /// # Safety
    ///
    /// As [`PageDescriptor::initialise`].
    unsafe fn reset(&self, pfn: Pfn, section: SectionNr) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.initialise(pfn, section) };
    }

    /// The value that [`PageDescriptor::initialise`] makes of zero bytes, if it is the same for every frame of a
    /// section, so that [`initialise_fresh`](crate::initialise_fresh) can write whole descriptors. `None` by default.
    #[must_use]
    fn initialised(section: SectionNr) -> Option<Self> {
        let _ = section;
        None
    }
}

/// Initialises the descriptor of every valid frame in `frames` and returns how many there were.
///
/// Frames that share a descriptor ([`MemoryModel::folded`]) are left out. The cost grows with the valid frames; call it
/// per node, or in parallel over disjoint ranges, when the machine is large. Before the descriptors are in use,
/// [`initialise_fresh`](crate::initialise_fresh) is several times as fast.
pub fn initialise<M: MemoryModel>(model: &M, frames: PfnRange) -> PageCount {
    // SAFETY: `each_valid` gives each descriptor with its frame and that frame's section.
    each_valid(model, frames, |page, pfn, section| unsafe { page.initialise(pfn, section) })
}

/// Makes the descriptor of every valid frame in `frames` as good as new, and returns how many there were.
///
/// For frames that get another user: it clears the data that the last user wrote to their descriptors
/// ([`PageDescriptor::reset`]). Frames that share a descriptor ([`MemoryModel::folded`]) are left out. The cost grows
/// with the valid frames, as for [`initialise`].
pub fn reset<M: MemoryModel>(model: &M, frames: PfnRange) -> PageCount {
    // SAFETY: as in `initialise`.
    each_valid(model, frames, |page, pfn, section| unsafe { page.reset(pfn, section) })
}

/// Calls a function with the descriptor of every valid frame in `frames`, and returns how many there were.
fn each_valid<M: MemoryModel>(
    model: &M,
    frames: PfnRange,
    act: impl Fn(&M::Page, Pfn, SectionNr),
) -> PageCount {
    let mut done = 0;
    for run in model.valid_ranges(frames) {
        // One guard per run, not one for all runs: removal waits for readers, and a machine may have billions of
        // frames.
        let reader = model.read();
        for own in own_runs(model, run, reader.guard()) {
            let mut pfn = own.start();
            while pfn < own.end() {
                if let Some(page) = reader.page(pfn) {
                    act(page, pfn, pfn.section::<M::Geometry>());
                    done += 1;
                }
                pfn = pfn.saturating_add(PageCount::new(1));
            }
        }
    }
    PageCount::new(done)
}

/// A 64-byte descriptor with the fields that most kernels want first.
///
/// It fills one cache line, as Linux' `struct page` does on 64-bit machines, and its size in bytes is a power of two,
/// so that the step from descriptor to frame is a shift.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Page {
    /// State bits that the kernel defines.
    pub flags: AtomicU64,
    /// References to the page.
    pub references: AtomicU32,
    stamp: Stamp,
    /// A word for the page's owner: buddy order, file offset, anything.
    pub private: AtomicU64,
    /// Links for a list of pages.
    pub links: [AtomicU64; 2],
    rest: [AtomicU64; 3],
}

#[cfg(not(sparsemem_loom))]
const _: () = assert!(size_of::<Page>() == 64 && align_of::<Page>() == 64);

// SAFETY: every field is an atomic integer: zero bytes are valid, and there is nothing to drop.
unsafe impl PageDescriptor for Page {
    unsafe fn initialise(&self, _pfn: Pfn, section: SectionNr) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.stamp.set(section) };
    }

    unsafe fn reset(&self, pfn: Pfn, section: SectionNr) {
        let Self { flags, private, links: [next, previous], rest: [first, second, third], .. } = self;
        // Without a loop, which a build with few optimisations would keep. Relaxed: no user has the frame, and the code
        // that hands it out next publishes these stores: the mark that makes it online (Release, which
        // `lookup_online_with` acquires), or the allocator's or driver's own lock.
        let clear = |word: &AtomicU64| word.store(0, Ordering::Relaxed);
        clear(flags);
        clear(private);
        clear(next);
        clear(previous);
        clear(first);
        clear(second);
        clear(third);
        // Relaxed: as above.
        self.references.store(0, Ordering::Relaxed);
        // SAFETY: the caller's promise is the same. The stamp is not zeroed first: readers may ask for the section of a
        // descriptor that a lookup returned.
        unsafe { self.initialise(pfn, section) };
    }

    fn initialised(section: SectionNr) -> Option<Self> {
        let zero = || AtomicU64::new(0);
        Some(Self {
            flags: zero(),
            references: AtomicU32::new(0),
            stamp: Stamp::of(section),
            private: zero(),
            links: [zero(), zero()],
            rest: [zero(), zero(), zero()],
        })
    }
}

// SAFETY: `initialise` above stores the number that `section` loads, as a whole, and `reset` stores no other; no geometry
// has more sections than 32 bits can tell apart (`SectionShape::CHECK`).
unsafe impl SectionStamp for Page {
    #[inline]
    fn section(&self) -> SectionNr {
        self.stamp.section()
    }
}

#[cfg(all(test, not(sparsemem_loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// All words of a page, as other code sees them.
    fn words(page: &Page) -> Vec<u64> {
        let halves = [u64::from(page.references.load(Ordering::Relaxed)), page.section().get()];
        let long = [&page.flags, &page.private].into_iter().chain(&page.links).chain(&page.rest);
        long.map(|word| word.load(Ordering::Relaxed)).chain(halves).collect()
    }

    #[test]
    fn a_page_that_was_reset_is_new() {
        let (pfn, section) = (Pfn::new(3 << 15), SectionNr::new(3));
        let page = Page::initialised(section).unwrap();
        let new = words(&page);
        let all = [&page.flags, &page.private].into_iter().chain(&page.links).chain(&page.rest);
        all.for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
        page.references.store(7, Ordering::Relaxed);
        let used = words(&page);
        // SAFETY: no frame has this descriptor.
        unsafe { page.initialise(pfn, section) };
        assert_eq!(words(&page), used, "initialising changes no data of the user");
        // SAFETY: as above.
        unsafe { page.reset(pfn, section) };
        assert_eq!(words(&page), new);
        assert_eq!(page.section(), section);
    }

    #[test]
    fn who_leaves_nothing_behind_need_not_forget() {
        struct Note(AtomicU64);

        // SAFETY: an atomic integer: zero bytes are valid, and there is nothing to drop.
        unsafe impl PageDescriptor for Note {
            unsafe fn initialise(&self, _pfn: Pfn, section: SectionNr) {
                self.0.store(section.get(), Ordering::Relaxed);
            }
        }

        let note = Note(AtomicU64::new(0));
        // SAFETY: no frame has this descriptor.
        unsafe { note.reset(Pfn::new(0), SectionNr::new(9)) };
        assert_eq!(note.0.load(Ordering::Relaxed), 9);
    }
}
