//! Page numbers, in which every walk computes.
//!
//! Bytes at the top of the address space have no 64-bit end; numbers of pages do, so no step can wrap. A [`VirtRange`]
//! that would end at 2^64 ends at the last address instead: it is one byte short, and rounding it outwards to pages
//! makes it whole again.
//!
//! # Invariants
//!
//! 1. A `Page` is below the number of pages of the address space (2^52 where a page has 4 KiB), except as the end of a
//!    `Pages`, where it may be that number.
//! 2. A `Pages` is never empty: `first < end`.

use sparsemem_core::{VirtAddr, VirtRange};

use crate::{EntryFormat, Level};

/// The number of a virtual page of the smallest size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Page(u64);

impl Page {
    /// The page that holds the byte `at`.
    pub(crate) const fn containing<F: EntryFormat>(at: VirtAddr) -> Self {
        Self(at.get() >> F::BASE_SHIFT)
    }

    /// The raw number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The first byte of the page.
    pub(crate) const fn start<F: EntryFormat>(self) -> VirtAddr {
        VirtAddr::new(self.0 << F::BASE_SHIFT)
    }

    /// The page after this one.
    const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The `span` pages (a power of two) around this one that start at a multiple of `span`.
    const fn around(self, span: u64) -> Pages {
        let first = self.0 & !(span - 1);
        Pages { first: Self(first), end: Self(first + span) }
    }

    /// The pages that one entry of a table of `level` translates, around this one.
    #[inline]
    pub(crate) fn slot<F: EntryFormat>(self, level: Level) -> Pages {
        self.around(level.entry_pages::<F>())
    }
}

/// A half-open, non-empty range of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    first: Page,
    end: Page,
}

impl Pages {
    /// Every page that `range` has a byte in, or `None` if it has no bytes.
    pub(crate) const fn touching<F: EntryFormat>(range: VirtRange) -> Option<Self> {
        if range.is_empty() {
            return None;
        }
        // Not empty, so its end is at least 1.
        let last = VirtAddr::new(range.end().get() - 1);
        Some(Self::inclusive(Page::containing::<F>(range.start()), Page::containing::<F>(last)))
    }

    /// The pages from `first` to `last`, which is not before it, inclusive.
    pub(crate) const fn inclusive(first: Page, last: Page) -> Self {
        debug_assert!(first.0 <= last.0);
        Self { first, end: last.next() }
    }

    /// The pages from `first`, which is before `end`, up to `end`.
    pub(crate) const fn between(first: Page, end: Page) -> Self {
        debug_assert!(first.0 < end.0);
        Self { first, end }
    }

    pub(crate) const fn first(self) -> Page {
        self.first
    }

    /// The page after the last.
    pub(crate) const fn end(self) -> Page {
        self.end
    }

    pub(crate) const fn last(self) -> Page {
        // Invariant 2: the end is at least 1.
        Page(self.end.0 - 1)
    }

    /// The part from `first` on, if it is not empty.
    pub(crate) fn starting_at(self, first: Page) -> Option<Self> {
        (first < self.end).then_some(Self { first: first.max(self.first), end: self.end })
    }

    /// The pages in both ranges, if there are any.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        let (first, end) = (self.first.max(other.first), self.end.min(other.end));
        (first < end).then_some(Self { first, end })
    }

    /// Both ranges as one, if no page lies between them.
    pub(crate) fn joined(self, other: Self) -> Option<Self> {
        let touching = self.first <= other.end && other.first <= self.end;
        touching.then_some(Self { first: self.first.min(other.first), end: self.end.max(other.end) })
    }

    /// The bytes of these pages, except the very last byte of the address space, after which no range can end.
    pub(crate) const fn bytes<F: EntryFormat>(self) -> VirtRange {
        let start = self.first.start::<F>();
        let end = match self.end.0 >> (u64::BITS - F::BASE_SHIFT) {
            0 => self.end.start::<F>(),
            _ => VirtAddr::new(u64::MAX),
        };
        match VirtRange::new(start, end) {
            Ok(range) => range,
            // Invariant 2 excludes this.
            Err(_) => VirtRange::empty_at(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_core::ByteLen;

    use super::*;
    use crate::toy::Toy;

    #[test]
    fn ranges_round_outwards() {
        let range = VirtRange::from_start_count(VirtAddr::new(0x1fff), ByteLen::new(2)).unwrap();
        let pages = Pages::touching::<Toy>(range).unwrap();
        assert_eq!((pages.first().get(), pages.last().get(), pages.end().get()), (1, 2, 3));
        assert_eq!(Pages::touching::<Toy>(VirtRange::empty_at(VirtAddr::new(0))), None);
    }

    #[test]
    fn the_last_page_is_a_page_like_others() {
        let top = VirtAddr::new(u64::MAX);
        for start in [u64::MAX - 1, 0xffff_ffff_ffff_f000] {
            let range = VirtRange::new(VirtAddr::new(start), top).unwrap();
            let pages = Pages::touching::<Toy>(range).unwrap();
            assert_eq!((pages.first().get(), pages.end().get()), ((1 << 52) - 1, 1 << 52));
            assert_eq!(
                pages.bytes::<Toy>(),
                VirtRange::new(VirtAddr::new(0xffff_ffff_ffff_f000), top).unwrap()
            );
            // The pages that these bytes touch are the same pages again.
            assert_eq!(Pages::touching::<Toy>(pages.bytes::<Toy>()), Some(pages));
        }
        let all = Pages::touching::<Toy>(VirtRange::new(VirtAddr::new(0), top).unwrap()).unwrap();
        assert_eq!((all.first().get(), all.end().get()), (0, 1 << 52));
        assert_eq!(all.bytes::<Toy>().count().get(), u64::MAX);
    }

    #[test]
    fn slots_are_aligned_to_themselves() {
        let page = Page::containing::<Toy>(VirtAddr::new(0xffff_ffff_ffff_ffff));
        // The last byte of the address space is in no range.
        assert_eq!(page.slot::<Toy>(Level::PGD).bytes::<Toy>().count().get(), (1 << 47) - 1);
        assert_eq!(page.slot::<Toy>(Level::PTE).bytes::<Toy>().count().get(), (1 << 12) - 1);
        assert_eq!(page.slot::<Toy>(Level::PGD).end().get(), 1 << 52);
        let page = Page::containing::<Toy>(VirtAddr::new(0x1234_5678));
        assert_eq!(page.slot::<Toy>(Level::PMD).bytes::<Toy>().count().get(), 1 << 20);
        assert_eq!(page.slot::<Toy>(Level::PMD).bytes::<Toy>().start().get(), 0x1230_0000);
    }

    #[test]
    fn only_touching_ranges_join() {
        let pages = |first, end| Pages { first: Page(first), end: Page(end) };
        assert_eq!(pages(1, 3).joined(pages(3, 4)), Some(pages(1, 4)));
        assert_eq!(pages(3, 4).joined(pages(1, 3)), Some(pages(1, 4)));
        assert_eq!(pages(1, 3).joined(pages(4, 5)), None);
        assert_eq!(pages(1, 3).intersection(pages(3, 5)), None);
        assert_eq!(pages(1, 4).intersection(pages(3, 5)), Some(pages(3, 4)));
    }

    #[test]
    fn nothing_is_left_at_the_end() {
        let (pages, page) = (|first, end| Pages { first: Page(first), end: Page(end) }, Page);
        assert_eq!(pages(1, 3).starting_at(page(2)), Some(pages(2, 3)));
        assert_eq!(pages(1, 3).starting_at(page(0)), Some(pages(1, 3)));
        assert_eq!(pages(1, 3).starting_at(page(3)), None);
        assert_eq!(pages(1, 3).starting_at(page(7)), None);
    }
}
