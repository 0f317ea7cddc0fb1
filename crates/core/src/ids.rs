//! Numbers of sections, subsections, roots and nodes.

use crate::newtype::number;
use crate::{Geometry, Pfn, PfnRange, SectionShape};

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
            Some(first) => PfnRange::from_start_count(first, crate::PageCount::new(G::PAGES_PER_SECTION)),
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
