//! Page numbers: the arithmetic that every walk is done in.
//!
//! Bytes at the top of the address space have no 64-bit end; numbers of 4 KiB pages do, so no step can wrap.
//!
//! # Invariants
//!
//! 1. A `Page` is below 2^52, except as the end of a `Pages`, where it may be 2^52.
//! 2. A `Pages` is never empty: `first < end`.

use crate::{Level, VirtAddr, VirtRange};

/// Bits of an address below the page number.
const SHIFT: u32 = 12;

/// The number of a 4 KiB virtual page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Page(u64);

impl Page {
    /// The page that holds the byte `at`.
    pub(crate) const fn containing(at: VirtAddr) -> Self {
        Self(at.get() >> SHIFT)
    }

    /// The raw number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The first byte of the page.
    pub(crate) const fn start(self) -> VirtAddr {
        VirtAddr::new(self.0 << SHIFT)
    }

    /// Whether a table of `level` starts to translate at this page.
    pub(crate) const fn starts_table(self, level: Level) -> bool {
        self.0 & (level.table_pages() - 1) == 0
    }

    /// The page behind this one.
    const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The `span` pages (a power of two) around this one that start at a multiple of `span`.
    const fn around(self, span: u64) -> Pages {
        let first = self.0 & !(span - 1);
        Pages { first: Self(first), end: Self(first + span) }
    }

    /// The pages that one entry of a table of `level` translates, around this one.
    pub(crate) const fn slot(self, level: Level) -> Pages {
        self.around(level.entry_pages())
    }

    /// The pages that a whole table of `level` translates, around this one.
    pub(crate) const fn table_slot(self, level: Level) -> Pages {
        self.around(level.table_pages())
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
    pub(crate) const fn touching(range: VirtRange) -> Option<Self> {
        match range.last() {
            Some(last) => {
                Some(Self { first: Page::containing(range.start()), end: Page::containing(last).next() })
            }
            None => None,
        }
    }

    /// The pages from `first` to `last`, which is not before it, inclusive.
    pub(crate) const fn inclusive(first: Page, last: Page) -> Self {
        debug_assert!(first.0 <= last.0);
        Self { first, end: last.next() }
    }

    pub(crate) const fn first(self) -> Page {
        self.first
    }

    pub(crate) const fn end(self) -> Page {
        self.end
    }

    /// What is left from `first` on, if anything is.
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

    /// The bytes of these pages.
    ///
    /// Never all of 2^64 (whose length would wrap to 0): what is made here is at most one half of the address space.
    pub(crate) const fn bytes(self) -> VirtRange {
        let len_bytes = (self.end.0 - self.first.0) << SHIFT;
        match VirtRange::from_start_len(self.first.start(), len_bytes) {
            Some(range) => range,
            None => VirtRange::empty_at(self.first.start()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_round_outwards_and_reach_the_top() {
        let range = VirtRange::from_start_len(VirtAddr::new(0x1fff), 2).unwrap();
        let pages = Pages::touching(range).unwrap();
        assert_eq!((pages.first().get(), pages.end().get()), (1, 3));
        let top = VirtRange::up_to_top(VirtAddr::new(u64::MAX)).unwrap();
        let pages = Pages::touching(top).unwrap();
        assert_eq!(pages.end().get(), 1 << 52);
        assert_eq!(pages.bytes().start().get(), 0xffff_ffff_ffff_f000);
        assert_eq!(pages.bytes().end(), None);
    }

    #[test]
    fn slots_are_aligned_to_themselves() {
        let page = Page::containing(VirtAddr::new(0xffff_ffff_ffff_ffff));
        assert_eq!(page.slot(Level::PGD).bytes().len_bytes(), 1 << 48);
        assert_eq!(page.slot(Level::PTE).bytes().len_bytes(), 1 << 12);
        assert_eq!(page.slot(Level::PGD).end().get(), 1 << 52);
        assert_eq!(page.table_slot(Level::PTE), page.slot(Level::PMD));
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
}
