//! Levels of tables, as numbers, so that one walker serves all of them; and counts of leaves of each size.
//!
//! # Invariants
//!
//! 1. A level lies in `1..=5`.

use core::fmt;
use sparsemem_core::{LeafSize, PagingDepth};

use crate::EntryFormat;

/// A level of the tree of tables: 1 holds the smallest leaves, 5 is the root of the deepest tree. The names are Linux'.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Level(u8);

/// The number of levels of the deepest tree.
pub(crate) const NR_LEVELS: usize = 5;

impl Level {
    /// Tables of the smallest leaves.
    pub const PTE: Self = Self(1);
    /// Tables of PTE tables, and of the leaves that are as large as one of those translates.
    pub const PMD: Self = Self(2);
    /// Tables of PMD tables, and of the leaves that are as large as one of those translates; the root where there are
    /// three levels.
    pub const PUD: Self = Self(3);
    /// Tables of PUD tables; the root where there are four levels.
    pub const P4D: Self = Self(4);
    /// Tables of P4D tables; the root where there are five levels.
    pub const PGD: Self = Self(5);

    /// The level of the root table of a tree with so many levels.
    #[inline]
    #[must_use]
    pub const fn of_root(depth: PagingDepth) -> Self {
        match depth {
            PagingDepth::Two => Self::PMD,
            PagingDepth::Three => Self::PUD,
            PagingDepth::Four => Self::P4D,
            PagingDepth::Five => Self::PGD,
        }
    }

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
    #[inline]
    pub(crate) fn entry_pages<F: EntryFormat>(self) -> u64 {
        1 << (F::shift(self) - F::BASE_SHIFT)
    }

    /// The place in an array of one element for each level; the lowest level has the first.
    #[inline]
    pub(crate) const fn position(self) -> usize {
        // Invariant 1: at least 1. The cast widens.
        self.0 as usize - 1
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
    /// The number of leaves of each level; their size is 2 to the second number.
    levels: [(u64, u32); NR_LEVELS],
}

impl LeafCounts {
    /// The number of leaves of `size`.
    #[must_use]
    pub fn of(self, size: LeafSize) -> u64 {
        self.levels.iter().filter(|level| level.1 == size.shift()).map(|level| level.0).sum()
    }

    /// The number of leaves of any size.
    #[must_use]
    pub fn total(self) -> u64 {
        self.levels.iter().map(|level| level.0).sum()
    }

    /// The number of bytes that all the leaves map.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.levels.iter().map(|level| level.0 << level.1).sum()
    }

    /// Counts other leaves of the same tables.
    pub(crate) fn add_all(&mut self, others: Self) {
        for (counted, other) in self.levels.iter_mut().zip(others.levels) {
            *counted = (counted.0 + other.0, counted.1.max(other.1));
        }
    }

    /// Counts one more leaf of `size`, in a table of `level`.
    #[inline]
    pub(crate) fn add(&mut self, level: Level, size: LeafSize) {
        if let Some(counted) = self.levels.get_mut(level.position()) {
            *counted = (counted.0 + 1, size.shift());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_of_linux() {
        let levels = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD];
        assert_eq!(levels.map(Level::number), [1, 2, 3, 4, 5]);
        let names = levels.map(|level| std::format!("{level} {level:?}"));
        assert_eq!(
            names,
            ["PTE Level(PTE)", "PMD Level(PMD)", "PUD Level(PUD)", "P4D Level(P4D)", "PGD Level(PGD)"]
        );
        assert_eq!(levels.map(Level::position), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn counts_are_kept_by_size() {
        let mut counts = LeafCounts::default();
        for (level, size) in [
            (Level::PTE, LeafSize::Size4KiB),
            (Level::PMD, LeafSize::Size2MiB),
            (Level::PUD, LeafSize::Size1GiB),
            (Level::PMD, LeafSize::Size2MiB),
        ] {
            counts.add(level, size);
        }
        assert_eq!((counts.of(LeafSize::Size2MiB), counts.total()), (2, 4));
        assert_eq!(counts.of(LeafSize::from_shift(16).unwrap()), 0);
        assert_eq!(counts.bytes(), (1 << 30) + (2 << 21) + (1 << 12));
    }
}
