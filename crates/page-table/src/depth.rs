//! How many levels the tables have, and which addresses that makes canonical.
//!
//! # Invariants
//!
//! 1. A range that [`pages`] lets through is not empty and lies in one half of the canonical address space as a whole.

use crate::page::{Page, Pages};
use crate::{Level, VirtAddr, VirtRange};

/// How many levels of tables the processor walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Four levels: addresses of 48 bits.
    Four,
    /// Five levels: addresses of 57 bits.
    Five,
}

impl Depth {
    /// How many low bits of an address are translated; the others repeat the highest of them.
    #[inline]
    #[must_use]
    pub const fn address_bits(self) -> u32 {
        match self {
            Self::Four => 48,
            Self::Five => 57,
        }
    }

    /// The level of the root table.
    #[inline]
    #[must_use]
    pub const fn root_level(self) -> Level {
        match self {
            Self::Four => Level::P4D,
            Self::Five => Level::PGD,
        }
    }

    /// Whether the processor can translate `at`: all bits above the translated ones repeat the highest of them.
    #[inline]
    #[must_use]
    pub const fn is_canonical(self, at: VirtAddr) -> bool {
        let above = at.get() >> (self.address_bits() - 1);
        above == 0 || above == u64::MAX >> (self.address_bits() - 1)
    }

    /// The first address of the upper half, the half where kernels live.
    #[inline]
    #[must_use]
    pub const fn upper_half(self) -> VirtAddr {
        VirtAddr::new(u64::MAX << (self.address_bits() - 1))
    }

    /// `page` itself, or the first page behind the hole between the two halves if it lies in that hole.
    pub(crate) const fn skip_hole(self, page: Page) -> Page {
        if self.is_canonical(page.start()) { page } else { Page::containing(self.upper_half()) }
    }
}

/// Why a range cannot be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRange {
    /// It has no bytes.
    Empty,
    /// It has bytes that the processor cannot translate.
    NonCanonical,
}

/// The pages that `range` touches, if all of them can be translated at `depth`.
pub(crate) fn pages(range: VirtRange, depth: Depth) -> Result<Pages, BadRange> {
    let (Some(last), Some(pages)) = (range.last(), Pages::touching(range)) else {
        return Err(BadRange::Empty);
    };
    let start = range.start();
    let same_half = (start < depth.upper_half()) == (last < depth.upper_half());
    if depth.is_canonical(start) && depth.is_canonical(last) && same_half {
        return Ok(pages);
    }
    Err(BadRange::NonCanonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_halves_end_where_the_manual_says() {
        let cases = [
            (Depth::Four, 0x0000_7fff_ffff_ffff, 0xffff_8000_0000_0000),
            (Depth::Five, 0x00ff_ffff_ffff_ffff, 0xff00_0000_0000_0000),
        ];
        for (depth, low_last, high_first) in cases {
            assert!(depth.is_canonical(VirtAddr::new(0)) && depth.is_canonical(VirtAddr::new(u64::MAX)));
            assert!(depth.is_canonical(VirtAddr::new(low_last)));
            assert!(!depth.is_canonical(VirtAddr::new(low_last + 1)));
            assert!(!depth.is_canonical(VirtAddr::new(high_first - 1)));
            assert!(depth.is_canonical(VirtAddr::new(high_first)));
            assert_eq!(depth.upper_half().get(), high_first);
        }
    }
}
