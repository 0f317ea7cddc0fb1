//! The blocks that tables and leaves are allocated as.
//!
//! # Invariants
//!
//! 1. A block is as aligned as it is large.

use core::alloc::Layout;

use sparsemem_core::LeafSize;

use crate::EntryFormat;

/// The block of a table.
pub(crate) const fn table<F: EntryFormat>() -> Layout {
    const { naturally_aligned(1 << F::BASE_SHIFT) }
}

/// The block of a leaf of `size`.
#[inline]
pub(crate) const fn leaf(size: LeafSize) -> Layout {
    match size {
        LeafSize::Size4KiB => const { naturally_aligned(1 << 12) },
        LeafSize::Size2MiB => const { naturally_aligned(1 << 21) },
        LeafSize::Size1GiB => const { naturally_aligned(1 << 30) },
    }
}

/// A block of `bytes`, which has to be a power of two: anything else does not compile.
const fn naturally_aligned(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes, bytes) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    #[test]
    fn blocks_are_what_entries_translate() {
        for size in [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB] {
            let layout = leaf(size);
            assert_eq!((layout.size() as u64, layout.align() as u64), (size.bytes(), size.bytes()));
        }
        assert_eq!(table::<Toy>(), leaf(LeafSize::Size4KiB));
    }
}
