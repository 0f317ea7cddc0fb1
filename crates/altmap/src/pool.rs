//! The pool of a range of frames: fresh frames are given by Linux' rule, and returned ones are given again.
//!
//! The pool holds only numbers: it does not access the frames.
//!
//! # Invariants
//!
//! 1. Two bits per frame: whether it is in use, and whether a block begins with it. So the bounds of every block are
//!    known.
//! 2. All frames from `next` on are free, and the frame before it is in use: `next` follows from the bits.

use sparsemem_core::{PageCount, Pfn, PfnRange};

use crate::bits::Bits;

/// The caller gave fewer words than a pool needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pool of {frames} needs {needed} words, not {given}")]
pub struct TooFewWords {
    /// Number of frames of the pool.
    pub frames: PageCount,
    /// Number of 64-bit words that it needs.
    pub needed: u64,
    /// Number of 64-bit words that the caller gave.
    pub given: u64,
}

/// The reason why no frames were given. The pool is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The caller requested no frames.
    #[error("a block of 0 frames was requested; request at least one frame")]
    Nothing,
    /// The alignment is not a power of two.
    #[error("the alignment of {align} is not a power of two; round it up to one")]
    Alignment {
        /// The requested alignment.
        align: PageCount,
    },
    /// No free frames have this size and alignment.
    #[error("no free block of {count} at a multiple of {align} is left")]
    Exhausted {
        /// The requested number of frames.
        count: PageCount,
        /// The required alignment.
        align: PageCount,
    },
}

/// The reason why frames were not taken back. The pool is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveBackError {
    /// The block has no frames.
    #[error("the block {block} has no frames")]
    Nothing {
        /// The block that the caller gave back.
        block: PfnRange,
    },
    /// The block does not lie in the pool.
    #[error("the block {block} does not lie in the pool {pool}; give it back to its own pool")]
    Foreign {
        /// The block that the caller gave back.
        block: PfnRange,
        /// The frames of the pool.
        pool: PfnRange,
    },
    /// Some of the block is not in use: it was never given, or was given back already.
    #[error("frame {free} of the block {block} is free already")]
    NotOut {
        /// The block that the caller gave back.
        block: PfnRange,
        /// Its first frame that is free.
        free: Pfn,
    },
    /// The frames are in use, but not as this block.
    #[error("{block} was not given as one block; give each block back as it was taken")]
    NotABlock {
        /// The frames that the caller gave back.
        block: PfnRange,
    },
}

/// Gives the frames of a range out and takes them back.
///
/// Fresh frames are given by Linux' rule (A-03 to A-05): the requested number after all frames in use, at a multiple of
/// the count's lowest set bit, by absolute frame number. Differs from Linux: when no fresh ones are left, the lowest
/// fitting run of skipped and returned frames is given; and frames after the last one in use are fresh again.
///
/// ```
/// use sparsemem_core::{PageCount, Pfn, PfnRange};
/// use sparsemem_altmap::FramePool;
///
/// let frames = PfnRange::from_start_count(Pfn::new(0x10_0002), PageCount::new(1022)).unwrap();
/// let mut words = [0; 32];
/// let mut pool = FramePool::new(frames, &mut words)?;
/// let large = pool.take(PageCount::new(512), PageCount::new(1))?;
/// assert_eq!(large.start(), Pfn::new(0x10_0200));
/// // No frame is left after the large block: the padding before it is used.
/// let small = pool.take(PageCount::new(1), PageCount::new(1))?;
/// assert_eq!(small.start(), Pfn::new(0x10_0002));
/// pool.give_back(large)?;
/// assert!(pool.give_back(large).is_err(), "the block was given back already");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FramePool<'w> {
    frames: PfnRange,
    out: Bits<'w>,
    begins: Bits<'w>,
    /// Offset after the last frame in use.
    next: u64,
    in_use: u64,
}

impl<'w> FramePool<'w> {
    /// The number of 64-bit words in which a pool of `frames` keeps its bits.
    #[must_use]
    pub const fn words_needed(frames: PageCount) -> u64 {
        2 * Bits::words_for(frames.get())
    }

    /// A pool with all frames in it. The words are cleared, and words beyond those needed are not used.
    ///
    /// # Errors
    ///
    /// [`TooFewWords`].
    pub fn new(frames: PfnRange, words: &'w mut [u64]) -> Result<Self, TooFewWords> {
        let (needed, given) = (Self::words_needed(frames.count()), words.len() as u64);
        let too_few = TooFewWords { frames: frames.count(), needed, given };
        let half = usize::try_from(needed / 2).map_err(|_| too_few)?;
        let (out, rest) = words.split_at_mut_checked(half).ok_or(too_few)?;
        let begins = rest.get_mut(..half).ok_or(too_few)?;
        Ok(Self { frames, out: Bits::cleared(out), begins: Bits::cleared(begins), next: 0, in_use: 0 })
    }

    /// Gives `count` successive frames, at a multiple of the count's lowest set bit and of `align`.
    ///
    /// # Errors
    ///
    /// [`TakeError`]; nothing has changed then.
    pub fn take(&mut self, count: PageCount, align: PageCount) -> Result<PfnRange, TakeError> {
        if count.get() == 0 {
            return Err(TakeError::Nothing);
        }
        if !align.get().is_power_of_two() {
            return Err(TakeError::Alignment { align });
        }
        let align = align.get().max(1 << count.get().trailing_zeros());
        let exhausted = TakeError::Exhausted { count, align: PageCount::new(align) };
        let place = self.fresh(count.get(), align).or_else(|| self.hole(count.get(), align));
        let start = place.ok_or(exhausted)?;
        self.mark_used(start, start + count.get());
        self.block(start, count.get()).ok_or(exhausted)
    }

    /// Takes a block back: exactly one that [`FramePool::take`] gave.
    ///
    /// # Errors
    ///
    /// [`GiveBackError`]; nothing has changed then.
    pub fn give_back(&mut self, block: PfnRange) -> Result<(), GiveBackError> {
        if block.is_empty() {
            return Err(GiveBackError::Nothing { block });
        }
        let foreign = GiveBackError::Foreign { block, pool: self.frames };
        if !self.frames.contains_range(block) {
            return Err(foreign);
        }
        let start = block.start().offset_from(self.frames.start()).ok_or(foreign)?.get();
        let end = start + block.count().get();
        if let Some(free) = self.out.first_clear_in(start, end) {
            let free = self.frames.start().saturating_add(PageCount::new(free));
            return Err(GiveBackError::NotOut { block, free });
        }
        if !self.is_block(start, end) {
            return Err(GiveBackError::NotABlock { block });
        }
        self.mark_free(start, end);
        Ok(())
    }

    /// All frames of the pool, free or in use.
    #[must_use]
    pub const fn frames(&self) -> PfnRange {
        self.frames
    }

    /// The number of frames in use (Linux: `alloc`).
    #[must_use]
    pub const fn in_use(&self) -> PageCount {
        PageCount::new(self.in_use)
    }

    /// The number of free frames before frames in use: padding, and returned frames (Linux: `align`).
    #[must_use]
    pub const fn skipped(&self) -> PageCount {
        PageCount::new(self.next - self.in_use)
    }

    /// The number of fresh frames: after all that are in use (Linux: `free` without `alloc` and `align`).
    #[must_use]
    pub const fn fresh_left(&self) -> PageCount {
        PageCount::new(self.frames.count().get() - self.next)
    }

    /// The offset of a fresh block.
    fn fresh(&self, count: u64, align: u64) -> Option<u64> {
        let start = self.aligned(self.next, align)?;
        (start.checked_add(count)? <= self.frames.count().get()).then_some(start)
    }

    /// The lowest offset of enough free frames before the last one in use.
    fn hole(&self, count: u64, align: u64) -> Option<u64> {
        let mut start = self.aligned(0, align)?;
        loop {
            let end = start.checked_add(count).filter(|end| *end <= self.next)?;
            match self.out.last_in(start, end) {
                None => return Some(start),
                Some(taken) => start = self.aligned(taken + 1, align)?,
            }
        }
    }

    /// The first offset from `offset` on whose frame number is a multiple of `align`.
    fn aligned(&self, offset: u64, align: u64) -> Option<u64> {
        let first = self.frames.start().get();
        let frame = first.checked_add(offset)?.checked_next_multiple_of(align)?;
        Some(frame - first)
    }

    /// True if a block begins at `start` and ends at `end`, where all frames between are in use.
    fn is_block(&self, start: u64, end: u64) -> bool {
        let begins = self.begins.contains(start);
        let inside = self.begins.last_in(start + 1, end);
        let goes_on = self.out.contains(end) && !self.begins.contains(end);
        begins && inside.is_none() && !goes_on
    }

    /// Marks a block as in use.
    fn mark_used(&mut self, start: u64, end: u64) {
        self.out.insert(start, end);
        self.begins.insert(start, start + 1);
        self.next = self.next.max(end);
        self.in_use += end - start;
    }

    /// Marks a block as free.
    fn mark_free(&mut self, start: u64, end: u64) {
        self.out.remove(start, end);
        self.begins.remove(start, start + 1);
        self.in_use -= end - start;
        if self.next == end {
            self.next = self.out.last_in(0, end).map_or(0, |last| last + 1);
        }
    }

    /// The frames at an offset.
    fn block(&self, start: u64, count: u64) -> Option<PfnRange> {
        let first = self.frames.start().checked_add(PageCount::new(start))?;
        PfnRange::from_start_count(first, PageCount::new(count))
    }
}
