//! The compressed-index memory model: one array whose index has no bits that are zero in all of RAM.
//!
//! Machines with several sockets place RAM at multiples of a large power of two, and the bits of a frame number between
//! the largest address in a socket and that power are zero in every frame of RAM. [`Squeezed`] takes the longest such
//! run of bits out of the frame number: the holes then have no descriptors, and a lookup costs a mask and a shift more
//! than the flat model. Bits above the highest frame of RAM cost nothing in either model, because the array ends there.
//!
//! ```
//! use sparsemem_compressed_index::CompressedIndex;
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn};
//!
//! static MODEL: CompressedIndex<X86_64, Page, NeverReclaim> = CompressedIndex::new();
//!
//! assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
//! ```
//!
//! The bits are chosen when the array is made. Memory that is added later has to have zeros there as well: memory for
//! which room was [reserved](sparsemem_core::MemoryModel::reserve) before the boot has.
//!
//! # Invariants
//!
//! 1. A run of bits that is squeezed out begins at or above the bits of a frame's offset in its section, because
//!    sections of boot are valid as a whole.
#![no_std]
#![allow(unsafe_code, reason = "implements the numbering of an array, which is an unsafe trait")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

use sparsemem_bounded_array::{ArrayModel, FrameIndex};
use sparsemem_core::{Geometry, Pfn, PfnRange, SectionShape};

/// The model for geometry `G`, descriptor `P` and readers of domain `R`.
///
/// Source: the page index of Xen ("PDX"). Differs from Xen: holes within a section of boot have descriptors.
pub type CompressedIndex<G, P, R> = ArrayModel<G, P, R, Squeezed>;

/// A numbering of frames without one run of bits, which are zero in every numbered frame.
///
/// ```
/// use sparsemem_bounded_array::FrameIndex;
/// use sparsemem_compressed_index::Squeezed;
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{Pfn, PfnRange};
///
/// let gib = |nr: u64| PfnRange::new(Pfn::new(nr << 18), Pfn::new((nr + 1) << 18)).unwrap();
/// let squeezed = Squeezed::of::<X86_64>([gib(0), gib(64)].into_iter());
/// let element = squeezed.element(Pfn::new((64 << 18) + 5));
/// assert_eq!(element, (1 << 18) + 5, "the second GiB follows the first");
/// assert_eq!(squeezed.frame(element), Pfn::new((64 << 18) + 5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Squeezed {
    /// The bits below the run.
    low: u64,
    /// The bits of the run.
    hole: u64,
    /// The length of the run.
    shift: u32,
}

impl Squeezed {
    /// The numbering without `shift` bits from bit `from` on, which are fewer than 64 together.
    const fn without(from: u32, shift: u32) -> Self {
        let low = (1 << from) - 1;
        Self { low, hole: ((1 << shift) - 1) << from, shift }
    }

    /// The bits that are squeezed out, as a mask of a frame number.
    #[must_use]
    pub const fn hole(self) -> u64 {
        self.hole
    }
}

/// The bits that are set in any frame of a range that is not empty.
const fn used_bits(range: PfnRange) -> u64 {
    let (first, last) = (range.start().get(), range.end().get() - 1);
    // Below the highest bit in which the ends differ, the frames between them take every value.
    let below = match (first ^ last).checked_ilog2() {
        Some(highest) => u64::MAX >> (63 - highest),
        None => 0,
    };
    first | last | below
}

/// The longest run of zeros among the lowest `len` bits of `used`, the lowest of several: its first bit and its length.
fn longest_hole(used: u64, len: u32) -> (u32, u32) {
    let (mut best, mut from) = ((0, 0), 0);
    while from < len {
        let start = from + (used >> from).trailing_ones().min(len - from);
        let zeros = if start < len { (used >> start).trailing_zeros().min(len - start) } else { 0 };
        if zeros > best.1 {
            best = (start, zeros);
        }
        from = start + zeros;
    }
    best
}

// SAFETY: a frame is held if it has no bit in the hole, which has none of an offset in a section. Then the bits below the hole stay, and those above it
// move down by its length: the order of frames stays, and moving the same bits up is the inverse. The hole begins at or
// above the bits of an offset in a section (invariant 1), so the offset stays. `of` leaves only bits out that are zero in
// every range.
unsafe impl FrameIndex for Squeezed {
    const NAME: &'static str = "compressed-index";

    fn of<G: Geometry>(ranges: impl Iterator<Item = PfnRange> + Clone) -> Self {
        let used = ranges.fold(G::PAGES_PER_SECTION - 1, |used, range| used | used_bits(range));
        // Zeros above the highest bit are left out by the end of the array.
        let (from, shift) = longest_hole(used, u64::BITS - used.leading_zeros());
        Self::without(from, shift)
    }

    #[inline]
    fn holds(self, pfn: Pfn) -> bool {
        pfn.get() & self.hole == 0
    }

    #[inline]
    fn element(self, pfn: Pfn) -> u64 {
        // The bits below the hole stay as they are, and all others are those of the moved number: two masks fewer than
        // with each part cut out.
        let moved = pfn.get() >> self.shift;
        moved ^ ((pfn.get() ^ moved) & self.low)
    }

    #[inline]
    fn frame(self, element: u64) -> Pfn {
        let below = element & self.low;
        Pfn::new(below | (element ^ below) << self.shift)
    }
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_a_range_are_those_of_its_frames() {
        for (start, end) in [(0, 1), (5, 6), (5, 8), (7, 9), (0x100, 0x1ff), (0xff0, 0x1010), (63, 64)] {
            let range = PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap();
            assert_eq!(used_bits(range), (start..end).fold(0, |used, frame| used | frame), "{range}");
        }
    }

    #[test]
    fn the_longest_hole_is_found_wherever_it_lies() {
        for (used, len, hole) in [
            (0b1111, 4, (0, 0)),
            (0b1001_0001, 8, (1, 3)),
            (0b1000_1001, 8, (4, 3)),
            (0b1000_0000, 8, (0, 7)),
            (0b0001_0011, 5, (2, 2)),
            (0b11, 6, (2, 4)),
            (u64::MAX, 64, (0, 0)),
            (0, 0, (0, 0)),
        ] {
            assert_eq!(longest_hole(used, len), hole, "{used:#b}");
        }
    }
}
