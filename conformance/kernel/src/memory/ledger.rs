//! Which blocks of frames were given out as metadata: two bits per frame.
//!
//! # Invariants
//!
//! 1. A frame is in `given` as long as a block has it, and in `firsts` if the block begins there. So a block is known with
//!    both of its ends, and neither a part of it nor two neighbours pass for one.

use core::ops::Range;

use bitmap_allocator::{BitAlloc, BitAlloc16M};

/// Blocks that were given and have not come back, by the indices of their frames.
pub(super) struct Ledger {
    given: BitAlloc16M,
    firsts: BitAlloc16M,
}

impl Ledger {
    /// Nothing was given.
    pub(super) const fn new() -> Self {
        Self { given: BitAlloc16M::DEFAULT, firsts: BitAlloc16M::DEFAULT }
    }

    /// Writes a block down, which is not empty and lies within the bitmaps.
    pub(super) fn enter(&mut self, block: Range<usize>) {
        self.firsts.insert(block.start..block.start + 1);
        self.given.insert(block);
    }

    /// Strikes a block out; `false` if exactly this block was not given.
    pub(super) fn strike(&mut self, block: Range<usize>) -> bool {
        let is_known = self.is_block(&block);
        if is_known {
            self.firsts.remove(block.start..block.start + 1);
            self.given.remove(block);
        }
        is_known
    }

    /// Whether a block begins and ends exactly so.
    fn is_block(&self, block: &Range<usize>) -> bool {
        let goes_on =
            |index: usize| index < BitAlloc16M::CAP && self.given.test(index) && !self.firsts.test(index);
        !block.is_empty()
            && block.end <= BitAlloc16M::CAP
            && self.firsts.test(block.start)
            && (block.start + 1..block.end).all(goes_on)
            && !goes_on(block.end)
    }
}
