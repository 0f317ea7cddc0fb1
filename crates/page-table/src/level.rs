//! Levels of tables, as numbers, so that one walker serves all of them.
//!
//! # Invariants
//!
//! 1. A level lies in `1..=5`.

use core::fmt;

use crate::LeafSize;

/// Page-number bits that one level translates: 512 entries a table.
const BITS: u32 = 9;

/// A level of the tree of tables: 1 holds 4 KiB leaves, 5 is the root of the deepest tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Level(u8);

impl Level {
    /// Tables of 4 KiB leaves.
    pub const PTE: Self = Self(1);
    /// Tables of 2 MiB leaves and of PTE tables.
    pub const PMD: Self = Self(2);
    /// Tables of 1 GiB leaves and of PMD tables.
    pub const PUD: Self = Self(3);
    /// Tables of PUD tables; the root where there are four levels.
    pub const P4D: Self = Self(4);
    /// The root where there are five levels.
    pub const PGD: Self = Self(5);

    /// The number of the level, 1 to 5.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The next level towards the leaves, or `None` below [`Level::PTE`].
    #[inline]
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::PTE => None,
            Self(number) => Some(Self(number - 1)),
        }
    }

    /// The size of the leaves that a table of this level can hold, if it can hold any.
    #[inline]
    #[must_use]
    pub const fn leaf_size(self) -> Option<LeafSize> {
        match self {
            Self::PTE => Some(LeafSize::Size4KiB),
            Self::PMD => Some(LeafSize::Size2MiB),
            Self::PUD => Some(LeafSize::Size1GiB),
            _ => None,
        }
    }

    /// How many pages one entry of a table of this level translates; a power of two.
    pub(crate) const fn entry_pages(self) -> u64 {
        1 << self.shift()
    }

    /// How many pages a table of this level translates; a power of two.
    pub(crate) const fn table_pages(self) -> u64 {
        1 << (self.shift() + BITS)
    }

    /// The page-number bits below those that index a table of this level.
    pub(crate) const fn shift(self) -> u32 {
        // Invariant 1: at least 1. The cast widens.
        BITS * (self.0 as u32 - 1)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::PTE => "PTE",
            Self::PMD => "PMD",
            Self::PUD => "PUD",
            Self::P4D => "P4D",
            _ => "PGD",
        })
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Level({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_hold_what_the_level_below_translates() {
        let mut level = Level::PGD;
        while let Some(below) = level.below() {
            assert_eq!(level.entry_pages(), below.table_pages());
            level = below;
        }
        assert_eq!((level, level.entry_pages()), (Level::PTE, 1));
    }

    #[test]
    fn leaf_sizes_agree_with_entry_sizes() {
        for level in [Level::PTE, Level::PMD, Level::PUD] {
            assert_eq!(level.leaf_size().unwrap().bytes(), level.entry_pages() * 4096);
        }
        assert_eq!((Level::P4D.leaf_size(), Level::PGD.leaf_size()), (None, None));
    }
}
