//! Numbers with a meaning: frames, sections, subsections, roots, nodes, and byte addresses.
//!
//! # Invariants
//!
//! 1. A [`Pfn`] may be any number, also one that no machine can have: lookups check it, constructors do not.
//! 2. An address is only a number here: it gives no access to the memory at that address.

use crate::newtype::{arithmetic, number};

use crate::{Geometry, PfnRange, SectionShape};

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
    /// The section that contains this frame; it may be any number, and the caller compares it with the geometry's
    /// maximum.
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

    /// True if the geometry has a section of this number.
    #[inline]
    #[must_use]
    pub const fn exists<G: Geometry>(self) -> bool {
        self.get() < G::NR_SECTIONS
    }

    /// The next higher section number; the highest number stays as it is.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.get().saturating_add(1))
    }
}

impl SubsectionIdx {
    /// The index of the subsection with this number. Callers mask it by the section size, so it fits.
    #[inline]
    pub(crate) const fn of_offset(offset: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a section has at most 512 subsections")]
        Self::new(offset as u32)
    }
}

number! {
    /// A physical byte address.
    PhysAddr(u64), "{:#x}"
}

number! {
    /// A virtual byte address; whether it is canonical depends on the depth of the page tables in use.
    VirtAddr(u64), "{:#x}"
}

number! {
    /// A length in bytes.
    ByteLen(u64), "{:#x} bytes"
}

arithmetic!(PhysAddr, ByteLen, "bytes");
arithmetic!(VirtAddr, ByteLen, "bytes");

impl PhysAddr {
    /// The frame that contains this address.
    #[inline]
    #[must_use]
    pub const fn pfn<G: Geometry>(self) -> Pfn {
        Pfn::new(self.get() >> G::PAGE_SHIFT)
    }

    /// True if the address is a multiple of `align` bytes; `align` has to be a power of two, otherwise the answer is
    /// `false`.
    #[inline]
    #[must_use]
    pub const fn is_aligned(self, align: u64) -> bool {
        align.is_power_of_two() && self.get() & (align - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_reports_what_does_not_fit() {
        let (top, len) = (VirtAddr::new(u64::MAX), ByteLen::new);
        assert_eq!(top.checked_add(len(1)), None);
        assert_eq!(top.saturating_add(len(1)), top);
        assert_eq!(top.checked_sub(len(u64::MAX)), Some(VirtAddr::new(0)));
        assert_eq!(VirtAddr::new(1).checked_sub(len(2)), None);
        assert_eq!(VirtAddr::new(1).offset_from(VirtAddr::new(2)), None);
        assert_eq!(VirtAddr::new(0x3000).offset_from(VirtAddr::new(0x1000)), Some(len(0x2000)));
    }

    #[test]
    fn alignment_to_no_power_of_two_is_never_given() {
        let at = PhysAddr::new(0x6000);
        assert!(at.is_aligned(0x2000) && at.is_aligned(1));
        assert!(!at.is_aligned(0x4000) && !at.is_aligned(3) && !at.is_aligned(0));
    }
}
