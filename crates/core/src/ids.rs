//! Numbers of frames, sections, subsections, roots and nodes.
//!
//! # Invariants
//!
//! 1. A [`Pfn`] may be any number, also one that no machine can have: lookups check, constructors do not.

use crate::newtype::{arithmetic, number};
use crate::{Geometry, PfnRange, PhysAddr, SectionShape};

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

number! {
    /// The number of a section: frame number divided by the frames of a section.
    SectionNr(u64), "{}"
}

number! {
    /// The number of a root of the two-level table: section number divided by the entries of a root.
    RootNr(u64), "{}"
}

number! {
    /// The index of a subsection in its section, counted from the lowest address.
    SubsectionIdx(u32), "{}"
}

number! {
    /// A NUMA node, by the number that the kernel gave it.
    NodeId(u32), "{}"
}

impl SectionNr {
    /// The section's first frame, or `None` if the number lies beyond any frame number.
    #[inline]
    #[must_use]
    pub const fn first_pfn<G: Geometry>(self) -> Option<Pfn> {
        if self.get() > u64::MAX >> G::PFN_SECTION_SHIFT {
            return None;
        }
        Some(Pfn::new(self.get() << G::PFN_SECTION_SHIFT))
    }

    /// All frames of the section, or `None` if they are not expressible as a half-open range.
    #[inline]
    #[must_use]
    pub const fn frames<G: Geometry>(self) -> Option<PfnRange> {
        match self.first_pfn::<G>() {
            Some(first) => PfnRange::from_start_count(first, PageCount::new(G::PAGES_PER_SECTION)),
            None => None,
        }
    }

    /// Whether the geometry has a section of this number.
    #[inline]
    #[must_use]
    pub const fn exists<G: Geometry>(self) -> bool {
        self.get() < G::NR_SECTIONS
    }

    /// The next higher section number; at the very top it stays where it is.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.get().saturating_add(1))
    }
}

impl SubsectionIdx {
    /// The index that a subsection offset stands for. Offsets come masked by the section size, so they fit.
    #[inline]
    pub(crate) const fn of_offset(offset: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a section has at most 512 subsections")]
        Self::new(offset as u32)
    }
}
