//! How many leaves there are of each size.

use sparsemem_core::LeafSize;

/// How many leaves there are of each size.
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
