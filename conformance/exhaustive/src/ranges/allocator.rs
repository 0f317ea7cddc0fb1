//! A page allocator that records its frames and refuses only calls in the wrong order.

use sparsemem_core::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, Reason};

/// The frames of an allocator, one bit each, counted from the region's first frame.
pub(super) struct Frames {
    first: u64,
    pub(super) usable: u32,
    pub(super) isolated: u32,
}

impl Frames {
    /// An allocator without frames.
    pub(super) const fn new(first: u64) -> Self {
        Self { first, usable: 0, isolated: 0 }
    }

    /// Gets frames of boot.
    pub(super) fn boot(&mut self, frames: PfnRange) {
        self.usable |= self.bits(frames);
    }

    fn bits(&self, frames: PfnRange) -> u32 {
        let numbers = frames.start().get()..frames.end().get();
        numbers.fold(0, |bits, frame| bits | 1 << frame.wrapping_sub(self.first).min(31))
    }

    /// Refuses unless all of some frames, and none of some others, are in the expected state.
    fn check(frames: PfnRange, all: u32, of: u32, none: u32) -> Result<(), FramesRefused> {
        if all & !of == 0 && all & none == 0 {
            return Ok(());
        }
        Err(FramesRefused { frames, reason: Reason::Policy("the allocator was called out of order") })
    }
}

impl AllocatorHooks for Frames {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let bits = self.bits(frames);
        Self::check(frames, bits, u32::MAX, self.usable | self.isolated)?;
        self.isolated |= bits;
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        let bits = self.bits(frames) & self.isolated;
        self.isolated &= !bits;
        self.usable |= bits;
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let bits = self.bits(frames);
        Self::check(frames, bits, self.usable, self.isolated)?;
        self.usable &= !bits;
        self.isolated |= bits;
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        Self::check(frames, self.bits(frames), self.isolated, self.usable)
    }

    fn take(&mut self, frames: PfnRange) {
        self.isolated &= !self.bits(frames);
    }
}
