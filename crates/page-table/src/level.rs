//! Levels of tables, as numbers, so that one walker serves all of them; and counts of leaves of each size.
//!
//! # Invariants
//!
//! 1. A level lies in `1..=5`.

use core::fmt;
use sparsemem_core::LeafSize;

use crate::EntryFormat;

/// A level of the tree of tables: 1 holds the smallest leaves, 5 is the root of the deepest tree. The names are Linux'.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Level(u8);

impl Level {
    /// Tables of the smallest leaves.
    pub const PTE: Self = Self(1);
    /// Tables of PTE tables, and of the leaves that are as large as one of those translates.
    pub const PMD: Self = Self(2);
    /// Tables of PMD tables, and of the leaves that are as large as one of those translates.
    pub const PUD: Self = Self(3);
    /// Tables of PUD tables; on x86_64 the root where there are four levels.
    pub const P4D: Self = Self(4);
    /// Tables of P4D tables; on x86_64 the root where there are five levels.
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

    /// The number of pages that one entry of a table of this level translates; a power of two.
    pub(crate) const fn entry_pages<F: EntryFormat>(self) -> u64 {
        1 << self.shift::<F>()
    }

    /// The number of pages that a table of this level translates; a power of two.
    pub(crate) const fn table_pages<F: EntryFormat>(self) -> u64 {
        1 << (self.shift::<F>() + F::INDEX_BITS)
    }

    /// The page-number bits below those that index a table of this level.
    pub(crate) const fn shift<F: EntryFormat>(self) -> u32 {
        // Invariant 1: at least 1. The cast widens.
        F::INDEX_BITS * (self.0 as u32 - 1)
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

/// The number of leaves of each size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeafCounts {
    nr_4k: u64,
    nr_2m: u64,
    nr_1g: u64,
}

impl LeafCounts {
    /// The number of leaves of `size`.
    #[must_use]
    pub const fn of(self, size: LeafSize) -> u64 {
        match size {
            LeafSize::Size4KiB => self.nr_4k,
            LeafSize::Size2MiB => self.nr_2m,
            LeafSize::Size1GiB => self.nr_1g,
        }
    }

    /// The number of leaves of any size.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.nr_4k + self.nr_2m + self.nr_1g
    }

    /// The number of bytes that all the leaves map.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.nr_4k * LeafSize::Size4KiB.bytes()
            + self.nr_2m * LeafSize::Size2MiB.bytes()
            + self.nr_1g * LeafSize::Size1GiB.bytes()
    }

    /// Counts one more leaf of `size`.
    pub(crate) const fn add(&mut self, size: LeafSize) {
        match size {
            LeafSize::Size4KiB => self.nr_4k += 1,
            LeafSize::Size2MiB => self.nr_2m += 1,
            LeafSize::Size1GiB => self.nr_1g += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    #[test]
    fn entries_hold_what_the_level_below_translates() {
        let mut level = Level::PGD;
        while let Some(below) = level.below() {
            assert_eq!(level.entry_pages::<Toy>(), below.table_pages::<Toy>());
            level = below;
        }
        assert_eq!((level, level.entry_pages::<Toy>()), (Level::PTE, 1));
    }

    #[test]
    fn levels_have_the_names_of_linux() {
        let levels = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD];
        assert_eq!(levels.map(Level::number), [1, 2, 3, 4, 5]);
        let names = levels.map(|level| std::format!("{level} {level:?}"));
        assert_eq!(
            names,
            ["PTE Level(PTE)", "PMD Level(PMD)", "PUD Level(PUD)", "P4D Level(P4D)", "PGD Level(PGD)"]
        );
    }

    #[test]
    fn counts_are_kept_by_size() {
        let mut counts = LeafCounts::default();
        for size in [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB, LeafSize::Size2MiB] {
            counts.add(size);
        }
        assert_eq!((counts.of(LeafSize::Size2MiB), counts.total()), (2, 4));
        assert_eq!(counts.bytes(), (1 << 30) + (2 << 21) + (1 << 12));
    }
}
