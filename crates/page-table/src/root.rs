//! The root table, and the addresses that it translates: one or both ends of the address space.
//!
//! # Invariants
//!
//! 1. A range that [`Root::pages`] lets through is not empty, and lies in one end of the address space as a whole.
//! 2. The addresses of each end are a power of two, or none.

use sparsemem_core::{VirtAddr, VirtRange};

use crate::page::{Page, Pages};
use crate::table::Index;
use crate::{EntryFormat, Level};

/// The root table of a tree: its level, and the addresses that it translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    level: Level,
    /// The number of low bits of an address that choose an entry of the root or lie below one.
    bits: u32,
    /// The number of addresses, from the first on, that are translated.
    low: u64,
    /// The number of addresses, up to the last, that are translated.
    high: u64,
}

/// The reason why an operation refuses a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRange {
    /// It has no bytes.
    Empty,
    /// It has bytes that the processor cannot translate.
    NonCanonical,
}

impl Root {
    /// No root: no address is translated.
    pub const NONE: Self = Self { level: Level::PTE, bits: 0, low: 0, high: 0 };

    /// A root of `level` for `bits` bits of an address; the higher bits repeat the highest of them. Half of its entries
    /// stand for the first addresses, and half for the last.
    ///
    /// `bits` is above the [`shift`](EntryFormat::shift) of the level and below 64.
    #[inline]
    #[must_use]
    pub const fn of_both_ends(level: Level, bits: u32) -> Self {
        Self { level, bits, low: 1 << (bits - 1), high: 1 << (bits - 1) }
    }

    /// A root of `level` for the first 2^`bits` addresses; `bits` as in [`of_both_ends`](Self::of_both_ends).
    #[inline]
    #[must_use]
    pub const fn of_low_end(level: Level, bits: u32) -> Self {
        Self { level, bits, low: 1 << bits, high: 0 }
    }

    /// A root of `level` for the last 2^`bits` addresses; `bits` as in [`of_both_ends`](Self::of_both_ends).
    #[inline]
    #[must_use]
    pub const fn of_high_end(level: Level, bits: u32) -> Self {
        Self { level, bits, low: 0, high: 1 << bits }
    }

    /// The level of the table.
    #[inline]
    #[must_use]
    pub const fn level(self) -> Level {
        self.level
    }

    /// The number of low bits of an address that are translated.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// True if the processor can translate `at`.
    #[inline]
    #[must_use]
    pub const fn is_canonical(self, at: VirtAddr) -> bool {
        at.get() < self.low || !at.get() < self.high
    }

    /// The first of the translated addresses at the high end, where kernels live, if there are any.
    #[inline]
    #[must_use]
    pub const fn high_end(self) -> Option<VirtAddr> {
        match self.high {
            0 => None,
            high => Some(VirtAddr::new(high.wrapping_neg())),
        }
    }

    /// The number of the entry that translates `at`, in its table of `level`, which is at most the root's.
    ///
    /// Walks go from the root down through the entries with these numbers.
    #[inline]
    #[must_use]
    pub fn index_of<F: EntryFormat>(self, at: VirtAddr, level: Level) -> usize {
        self.index::<F>(Page::containing::<F>(at), level).get()
    }

    /// The same for a page.
    #[inline]
    pub(crate) fn index<F: EntryFormat>(self, page: Page, level: Level) -> Index {
        let is_narrow = F::NARROW_ROOT && level == self.level;
        let bits = if is_narrow { self.bits - F::shift(level) } else { F::index_bits(level) };
        Index::of::<F>(page, level, bits)
    }

    /// `page` itself, or the first page after it that can be translated, if any can.
    pub(crate) fn skip_hole<F: EntryFormat>(self, page: Page) -> Option<Page> {
        if self.is_canonical(page.start::<F>()) {
            return Some(page);
        }
        self.high_end().map(Page::containing::<F>)
    }

    /// The pages that `range` touches, if all of them can be translated.
    pub(crate) fn pages<F: EntryFormat>(self, range: VirtRange) -> Result<Pages, BadRange> {
        let pages = Pages::touching::<F>(range).ok_or(BadRange::Empty)?;
        let (start, last) = (pages.first().start::<F>(), pages.last().start::<F>());
        let same_end = (start.get() < self.low) == (last.get() < self.low);
        if self.is_canonical(start) && self.is_canonical(last) && same_end {
            return Ok(pages);
        }
        Err(BadRange::NonCanonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    #[test]
    fn canonical_addresses_end_where_the_manuals_say() {
        let cases = [
            (39, 0x0000_003f_ffff_ffff, 0xffff_ffc0_0000_0000),
            (48, 0x0000_7fff_ffff_ffff, 0xffff_8000_0000_0000),
            (57, 0x00ff_ffff_ffff_ffff, 0xff00_0000_0000_0000),
        ];
        for (bits, low_last, high_first) in cases {
            let root = Root::of_both_ends(Level::PGD, bits);
            assert!(root.is_canonical(VirtAddr::new(0)) && root.is_canonical(VirtAddr::new(u64::MAX)));
            assert!(root.is_canonical(VirtAddr::new(low_last)));
            assert!(!root.is_canonical(VirtAddr::new(low_last + 1)));
            assert!(!root.is_canonical(VirtAddr::new(high_first - 1)));
            assert!(root.is_canonical(VirtAddr::new(high_first)));
            assert_eq!(root.high_end(), Some(VirtAddr::new(high_first)));
        }
    }

    #[test]
    fn a_root_of_one_end_translates_nothing_at_the_other() {
        let (low, high) = (Root::of_low_end(Level::PUD, 48), Root::of_high_end(Level::PUD, 48));
        for (at, in_low, in_high) in [
            (0, true, false),
            (0x0000_ffff_ffff_ffff, true, false),
            (0x0001_0000_0000_0000, false, false),
            (0xfffe_ffff_ffff_ffff, false, false),
            (0xffff_0000_0000_0000, false, true),
            (u64::MAX, false, true),
        ] {
            let at = VirtAddr::new(at);
            assert_eq!((low.is_canonical(at), high.is_canonical(at)), (in_low, in_high), "{at}");
        }
        let beyond = Page::containing::<Toy>(VirtAddr::new(1 << 48));
        assert_eq!((low.high_end(), low.skip_hole::<Toy>(beyond)), (None, None));
        let high_page = Page::containing::<Toy>(VirtAddr::new(0xffff_0000_0000_0000));
        assert_eq!(high.skip_hole::<Toy>(beyond), Some(high_page));
    }

    #[test]
    fn a_depth_that_does_not_exist_translates_nothing() {
        for at in [0, 1, 1 << 47, u64::MAX] {
            assert!(!Root::NONE.is_canonical(VirtAddr::new(at)));
        }
        let range = VirtRange::new(VirtAddr::new(0), VirtAddr::new(1)).unwrap();
        assert_eq!(Root::NONE.pages::<Toy>(range), Err(BadRange::NonCanonical));
    }
}
