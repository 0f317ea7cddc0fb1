//! The canonical addresses: the two ends of the address space, with a hole between them.
//!
//! # Invariants
//!
//! 1. A range that [`Halves::pages`] lets through is not empty and lies in one half of the canonical address space as a
//!    whole.

use sparsemem_core::{PagingDepth, VirtAddr, VirtRange};

use crate::EntryFormat;
use crate::page::{Page, Pages};

/// The two halves of the canonical addresses: the high bits repeat the highest bit that is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halves {
    /// The number of low bits of an address that are translated.
    bits: u32,
}

/// The reason why an operation refuses a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRange {
    /// It has no bytes.
    Empty,
    /// It has bytes that the processor cannot translate.
    NonCanonical,
}

impl Halves {
    /// The halves of a processor with tables of format `F`.
    #[inline]
    pub(crate) fn of<F: EntryFormat>(depth: PagingDepth) -> Self {
        Self { bits: F::address_bits(depth) }
    }

    /// Whether the processor can translate `at`.
    #[inline]
    pub(crate) const fn is_canonical(self, at: VirtAddr) -> bool {
        let above = at.get() >> (self.bits - 1);
        above == 0 || above == u64::MAX >> (self.bits - 1)
    }

    /// The first address of the upper half, the half where kernels live.
    #[inline]
    pub(crate) const fn upper_half(self) -> VirtAddr {
        VirtAddr::new(u64::MAX << (self.bits - 1))
    }

    /// `page` itself, or the first page after the hole between the two halves if it lies in that hole.
    pub(crate) const fn skip_hole<F: EntryFormat>(self, page: Page) -> Page {
        if self.is_canonical(page.start::<F>()) { page } else { Page::containing::<F>(self.upper_half()) }
    }

    /// The pages that `range` touches, if all of them can be translated.
    pub(crate) fn pages<F: EntryFormat>(self, range: VirtRange) -> Result<Pages, BadRange> {
        let pages = Pages::touching::<F>(range).ok_or(BadRange::Empty)?;
        let (start, last) = (pages.first().start::<F>(), pages.last().start::<F>());
        let same_half = (start < self.upper_half()) == (last < self.upper_half());
        if self.is_canonical(start) && self.is_canonical(last) && same_half {
            return Ok(pages);
        }
        Err(BadRange::NonCanonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_halves_end_where_the_manuals_say() {
        let cases = [
            (39, 0x0000_003f_ffff_ffff, 0xffff_ffc0_0000_0000),
            (48, 0x0000_7fff_ffff_ffff, 0xffff_8000_0000_0000),
            (57, 0x00ff_ffff_ffff_ffff, 0xff00_0000_0000_0000),
        ];
        for (bits, low_last, high_first) in cases {
            let halves = Halves { bits };
            assert!(halves.is_canonical(VirtAddr::new(0)) && halves.is_canonical(VirtAddr::new(u64::MAX)));
            assert!(halves.is_canonical(VirtAddr::new(low_last)));
            assert!(!halves.is_canonical(VirtAddr::new(low_last + 1)));
            assert!(!halves.is_canonical(VirtAddr::new(high_first - 1)));
            assert!(halves.is_canonical(VirtAddr::new(high_first)));
            assert_eq!(halves.upper_half().get(), high_first);
        }
    }
}
