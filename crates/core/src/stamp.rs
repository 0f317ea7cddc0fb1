//! The number of its section in a descriptor, and the ready-made field for it.
//!
//! # Invariants
//!
//! 1. A stamp is one atomic word, stored and loaded as a whole.

use crate::primitive::{AtomicU32, Ordering};
use crate::{PageDescriptor, SectionNr, const_fn};

/// A descriptor that holds its section, which the table models need to get from a descriptor back to its frame. A
/// [`Stamp`] as a field does it.
///
/// Source: Linux keeps the section number in `page->flags` for the models without a virtual memmap (W-42).
///
/// # Safety
///
/// After [`PageDescriptor::initialise`] or [`PageDescriptor::reset`] with a section, and of what
/// [`PageDescriptor::initialised`] returns for it, [`SectionStamp::section`] is that section; and while one of the two is
/// called with it again.
///
/// A descriptor that forgets to initialise its stamp does not compile:
///
/// ```compile_fail,E0046
/// use sparsemem_core::{PageDescriptor, Stamp};
///
/// struct Frame {
///     stamp: Stamp,
/// }
///
/// // SAFETY: atomics.
/// unsafe impl PageDescriptor for Frame {}
/// ```
pub unsafe trait SectionStamp: PageDescriptor {
    /// The section that the descriptor was initialised with.
    fn section(&self) -> SectionNr;
}

/// The field of a descriptor that holds the number of its section, in 4 bytes; zero bytes are section 0.
///
/// ```
/// use core::sync::atomic::AtomicU32;
/// use sparsemem_core::{PageDescriptor, Pfn, SectionNr, SectionStamp, Stamp};
///
/// /// A kernel's own descriptor, of 8 bytes.
/// struct Frame {
///     stamp: Stamp,
///     references: AtomicU32,
/// }
///
/// // SAFETY: both fields are valid as zero bytes and need no drop; nothing unwinds.
/// unsafe impl PageDescriptor for Frame {
///     unsafe fn initialise(&self, _: Pfn, section: SectionNr) {
///         // SAFETY: the caller's promise is the same.
///         unsafe { self.stamp.set(section) };
///     }
/// }
///
/// // SAFETY: `initialise` sets the stamp, and `reset` calls it.
/// unsafe impl SectionStamp for Frame {
///     fn section(&self) -> SectionNr {
///         self.stamp.section()
///     }
/// }
///
/// let frame = Frame { stamp: Stamp::new(), references: AtomicU32::new(0) };
/// // SAFETY: no model has this descriptor.
/// unsafe { frame.initialise(Pfn::new(7 << 15), SectionNr::new(7)) };
/// assert_eq!(frame.section(), SectionNr::new(7));
/// ```
///
/// Safe code cannot change a stamp, even if the field is public:
///
/// ```compile_fail,E0133
/// # use sparsemem_core::{SectionNr, Stamp};
/// fn forge(stamp: &Stamp) {
///     stamp.set(SectionNr::new(0xffff_ffff));
/// }
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct Stamp(AtomicU32);

impl Stamp {
    const_fn! {
        /// A stamp of zero bytes.
        #[must_use]
        pub const fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// A stamp with a section, for [`PageDescriptor::initialised`].
    #[must_use]
    pub fn of(section: SectionNr) -> Self {
        Self(AtomicU32::new(word(section)))
    }

    /// Stores the section.
    ///
    /// # Safety
    ///
    /// As [`PageDescriptor::initialise`]: the stamp is in the descriptor of a frame of `section`, or of no frame.
    #[inline]
    pub unsafe fn set(&self, section: SectionNr) {
        // Relaxed: the code that hands the frame out publishes the descriptor.
        self.0.store(word(section), Ordering::Relaxed);
    }

    /// The section that was stored last; section 0 if none was.
    #[inline]
    #[must_use]
    pub fn section(&self) -> SectionNr {
        // Relaxed: pairs with the store in `set` through the operation that published the frame.
        SectionNr::new(u64::from(self.0.load(Ordering::Relaxed)))
    }
}

impl Default for Stamp {
    fn default() -> Self {
        Self::new()
    }
}

/// The word of a section.
#[expect(clippy::cast_possible_truncation, reason = "SectionShape::CHECK: at most 2^32 sections")]
const fn word(section: SectionNr) -> u32 {
    section.get() as u32
}
