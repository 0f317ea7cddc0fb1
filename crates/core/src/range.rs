//! Half-open ranges of frames and addresses.
//!
//! # Invariants
//!
//! 1. `start <= end`, always: the constructors refuse any other range.

use crate::ByteLen;
use crate::{Geometry, PageCount, Pfn, PhysAddr, SectionNr, SectionShape, VirtAddr};

/// A range whose end lies before its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("range ends at {end:#x}, before its start {start:#x}")]
pub struct ReversedRange {
    /// The start that was given, as a raw number.
    pub start: u64,
    /// The end that was given, as a raw number.
    pub end: u64,
}

/// Declares a half-open range of one number type.
macro_rules! range {
    ($(#[$doc:meta])* $name:ident of $item:ident, length $len:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name {
            start: $item,
            end: $item,
        }

        impl $name {
            /// The range from `start` up to, not including, `end`.
            ///
            /// # Errors
            ///
            /// [`ReversedRange`] if `end` lies before `start`.
            pub const fn new(start: $item, end: $item) -> Result<Self, ReversedRange> {
                if end.get() < start.get() {
                    return Err(ReversedRange { start: start.get(), end: end.get() });
                }
                Ok(Self { start, end })
            }

            /// The range of `count` items from `start`, or `None` if its end does not fit.
            #[inline]
            #[must_use]
            pub const fn from_start_count(start: $item, count: $len) -> Option<Self> {
                match start.checked_add(count) {
                    Some(end) => Some(Self { start, end }),
                    None => None,
                }
            }

            /// The empty range at `at`.
            #[inline]
            #[must_use]
            pub const fn empty_at(at: $item) -> Self {
                Self { start: at, end: at }
            }

            /// The first item, if the range is not empty.
            #[inline]
            #[must_use]
            pub const fn start(self) -> $item {
                self.start
            }

            /// The first item after the range.
            #[inline]
            #[must_use]
            pub const fn end(self) -> $item {
                self.end
            }

            /// The number of items in the range.
            #[inline]
            #[must_use]
            pub const fn count(self) -> $len {
                $len::new(self.end.get() - self.start.get())
            }

            /// True if the range has no items.
            #[inline]
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.start.get() == self.end.get()
            }

            /// True if `item` lies in the range.
            #[inline]
            #[must_use]
            pub const fn contains(self, item: $item) -> bool {
                self.start.get() <= item.get() && item.get() < self.end.get()
            }

            /// True if every item of `other` lies in this range; an empty `other` lies in any range.
            #[inline]
            #[must_use]
            pub const fn contains_range(self, other: Self) -> bool {
                other.is_empty()
                    || (self.start.get() <= other.start.get() && other.end.get() <= self.end.get())
            }

            /// The items in both ranges; empty, at the later start, if there are none.
            #[inline]
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                let start = if self.start.get() > other.start.get() { self.start } else { other.start };
                let end = if self.end.get() < other.end.get() { self.end } else { other.end };
                if end.get() < start.get() {
                    return Self::empty_at(start);
                }
                Self { start, end }
            }

            /// True if the ranges share an item.
            #[inline]
            #[must_use]
            pub const fn overlaps(self, other: Self) -> bool {
                !self.intersection(other).is_empty()
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "[{}, {})", self.start, self.end)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

range! {
    /// A half-open range of frames.
    PfnRange of Pfn, length PageCount
}

range! {
    /// A half-open range of physical bytes.
    PhysRange of PhysAddr, length ByteLen
}

range! {
    /// A half-open range of virtual bytes.
    VirtRange of VirtAddr, length ByteLen
}

impl PhysRange {
    /// The frames all of whose bytes lie in the range: the start is rounded up, the end down.
    #[must_use]
    pub const fn whole_frames<G: Geometry>(self) -> PfnRange {
        let start = self.start.get().div_ceil(G::PAGE_SIZE);
        let end = self.end.get() / G::PAGE_SIZE;
        if end < start {
            return PfnRange::empty_at(Pfn::new(start));
        }
        PfnRange { start: Pfn::new(start), end: Pfn::new(end) }
    }
}

impl PfnRange {
    /// The sections that the range touches, lowest first, each with the part of the range that lies in it.
    pub fn by_section<G: Geometry>(self) -> impl Iterator<Item = (SectionNr, Self)> + Clone {
        let mut rest = self;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let nr = rest.start.section::<G>();
            let end = match nr.next().first_pfn::<G>() {
                Some(next) if next < rest.end => next,
                _ => rest.end,
            };
            let part = Self { start: rest.start, end };
            rest.start = end;
            Some((nr, part))
        })
    }

    /// The subsections that the range touches, lowest first: of each the part of the range that lies in it.
    pub fn by_subsection<G: Geometry>(self) -> impl Iterator<Item = Self> + Clone {
        let mut rest = self;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let last = Pfn::new(rest.start.get() | (G::PAGES_PER_SUBSECTION - 1));
            let (part, after) = rest.split_at(last.saturating_add(PageCount::new(1)));
            rest = after;
            Some(part)
        })
    }

    /// The bytes of the frames, or `None` if their addresses do not fit 64 bits.
    #[must_use]
    pub fn bytes<G: Geometry>(self) -> Option<PhysRange> {
        PhysRange::new(self.start.phys::<G>()?, self.end.phys::<G>()?).ok()
    }

    /// The range extended to whole subsections; the end stops at the largest number there is.
    #[must_use]
    pub const fn whole_subsections<G: Geometry>(self) -> Self {
        if self.is_empty() {
            return self;
        }
        let mask = G::PAGES_PER_SUBSECTION - 1;
        let start = Pfn::new(self.start.get() & !mask);
        let end = Pfn::new(self.end.get().saturating_add(mask) & !mask);
        if end.get() < self.end.get() {
            return Self { start, end: self.end };
        }
        Self { start, end }
    }

    /// The part of the range below `limit`, and the part from `limit` on.
    #[must_use]
    pub const fn split_at(self, limit: Pfn) -> (Self, Self) {
        if limit.get() <= self.start.get() {
            return (Self::empty_at(self.start), self);
        }
        if limit.get() >= self.end.get() {
            return (self, Self::empty_at(self.end));
        }
        (Self { start: self.start, end: limit }, Self { start: limit, end: self.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::{Tiny, X86_64};
    use std::string::ToString;
    use std::vec::Vec;

    fn frames(start: u64, end: u64) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
    }

    #[test]
    fn reversed_ranges_are_refused_with_both_ends() {
        let error = PfnRange::new(Pfn::new(9), Pfn::new(3)).unwrap_err();
        assert_eq!(error, ReversedRange { start: 9, end: 3 });
        assert_eq!(error.to_string(), "range ends at 0x3, before its start 0x9");
        assert!(PfnRange::from_start_count(Pfn::new(u64::MAX), PageCount::new(1)).is_none());
    }

    #[test]
    fn a_range_splits_at_section_borders() {
        let parts: Vec<_> = frames(6, 25).by_section::<Tiny>().map(|(nr, part)| (nr.get(), part)).collect();
        assert_eq!(parts, [(0, frames(6, 8)), (1, frames(8, 16)), (2, frames(16, 24)), (3, frames(24, 25))]);
        assert_eq!(frames(8, 8).by_section::<Tiny>().count(), 0);
    }

    #[test]
    fn the_last_expressible_frames_still_split() {
        let top = frames(u64::MAX - 4, u64::MAX);
        assert_eq!(top.by_section::<Tiny>().map(|(_, part)| part).collect::<Vec<_>>(), [top]);
    }

    #[test]
    fn a_range_splits_at_subsection_borders() {
        let parts: Vec<_> = frames(3, 7).by_subsection::<Tiny>().collect();
        assert_eq!(parts, [frames(3, 4), frames(4, 6), frames(6, 7)]);
        assert_eq!(frames(4, 4).by_subsection::<Tiny>().count(), 0);
        let top = frames(u64::MAX - 4, u64::MAX);
        assert_eq!(top.by_subsection::<X86_64>().collect::<Vec<_>>(), [top]);
    }

    #[test]
    fn frames_have_bytes_as_far_as_addresses_go() {
        let bytes = PhysRange::new(PhysAddr::new(0x3000), PhysAddr::new(0x5000)).unwrap();
        assert_eq!(frames(3, 5).bytes::<X86_64>(), Some(bytes));
        assert_eq!(frames(3, u64::MAX).bytes::<X86_64>(), None);
    }

    #[test]
    fn partial_frames_are_no_memory() {
        let bytes = PhysRange::new(PhysAddr::new(0x1001), PhysAddr::new(0x3fff)).unwrap();
        assert_eq!(bytes.whole_frames::<X86_64>(), frames(2, 3));
        let sliver = PhysRange::new(PhysAddr::new(0x1001), PhysAddr::new(0x1fff)).unwrap();
        assert!(sliver.whole_frames::<X86_64>().is_empty());
    }

    #[test]
    fn ranges_grow_to_subsections_and_split_at_limits() {
        assert_eq!(frames(3, 5).whole_subsections::<Tiny>(), frames(2, 6));
        assert!(frames(3, 3).whole_subsections::<Tiny>().is_empty());
        assert_eq!(frames(3, 9).split_at(Pfn::new(5)), (frames(3, 5), frames(5, 9)));
        assert_eq!(frames(3, 9).split_at(Pfn::new(1)).0, frames(3, 3));
        assert_eq!(frames(3, 9).split_at(Pfn::new(10)).1, frames(9, 9));
    }

    #[test]
    fn ranges_reach_the_last_address() {
        let bytes = |start, end| VirtRange::new(VirtAddr::new(start), VirtAddr::new(end)).unwrap();
        let (most, upper) = (bytes(1, u64::MAX), bytes(0xffff_8000_0000_0000, u64::MAX));
        assert_eq!(most.intersection(upper), upper);
        assert!(upper.intersection(bytes(0, 0x1000)).is_empty());
        assert!(most.contains_range(upper) && !upper.contains_range(most));
        assert_eq!(VirtRange::from_start_count(upper.start(), upper.count()), Some(upper));
        assert_eq!(most.count().get(), u64::MAX - 1);
    }

    #[test]
    fn intersections_of_disjoint_ranges_are_empty() {
        assert!(frames(0, 4).intersection(frames(4, 8)).is_empty());
        assert!(!frames(0, 4).overlaps(frames(4, 8)));
        assert!(frames(0, 5).overlaps(frames(4, 8)));
        assert!(frames(0, 5).contains_range(frames(7, 7)));
    }
}
