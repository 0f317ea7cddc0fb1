//! Page frame numbers and counts of frames.
//!
//! # Invariants
//!
//! 1. A [`Pfn`] may be any number, also one that no machine can have: lookups check, constructors do not.

use crate::newtype::{arithmetic, number};
use crate::{Geometry, PhysAddr, SectionNr, SectionShape, SubsectionIdx};

number! {
    /// A page frame number: physical address divided by the page size of the [`Geometry`] in use.
    Pfn(u64), "{:#x}"
}

number! {
    /// A number of frames.
    PageCount(u64), "{} frames"
}

arithmetic!(Pfn, PageCount, "frames");

impl Pfn {
    /// The section that contains this frame; any number, the caller compares it with the geometry's maximum.
    #[inline]
    #[must_use]
    pub const fn section<G: Geometry>(self) -> SectionNr {
        SectionNr::new(self.get() >> G::PFN_SECTION_SHIFT)
    }

    /// The subsection of its section that contains this frame.
    #[inline]
    #[must_use]
    pub const fn subsection<G: Geometry>(self) -> SubsectionIdx {
        SubsectionIdx::of_offset((self.get() & (G::PAGES_PER_SECTION - 1)) >> G::PFN_SUBSECTION_SHIFT)
    }

    /// The frame's offset in its section, in frames.
    #[inline]
    #[must_use]
    pub const fn offset_in_section<G: Geometry>(self) -> PageCount {
        PageCount::new(self.get() & (G::PAGES_PER_SECTION - 1))
    }

    /// The frame's first physical address, or `None` if the number is too large to be one.
    #[inline]
    #[must_use]
    pub const fn phys<G: Geometry>(self) -> Option<PhysAddr> {
        if self.get() > u64::MAX >> G::PAGE_SHIFT {
            return None;
        }
        Some(PhysAddr::new(self.get() << G::PAGE_SHIFT))
    }
}
