//! Frames that a page allocator never had, kept out of its hooks.
//!
//! # Invariants
//!
//! 1. The hooks inside see no frame that is reserved: not when memory comes online, and not when it goes.
//! 2. Frames with something that is needed when their memory is gone are refused before anything is isolated.

use sparsemem_core::PfnRange;

use crate::callbacks::for_every;
use crate::hooks::each;
use crate::{AllocatorHooks, FramesRefused, Reason};

/// Who knows of frames in RAM that are not the page allocator's: metadata of boot, firmware.
///
/// Answers may reach beyond the frames that were asked about; one that touches none of them counts as none.
///
/// Answers may change between operations. Whoever changes them hands the frames over as well: a reservation that ends
/// in online memory gives its frames to the allocator, as boot does.
///
/// For metadata of boot, `Registry` of `sparsemem-bootmem-registration` has both answers.
///
/// A question that unwinds counts as a refusal of the call of [`AllocatorHooks`] that asked it.
pub trait Reserved {
    /// Reserved frames among these that cannot leave, because something in them is needed when their memory is gone:
    /// the memmap of a section that stays, say.
    ///
    /// Frames are asked about in runs: a range that goes with several blocks is several questions when a block
    /// [hosts its memmap](crate::Ram::hosting). And blocks that go offline together may be removed one by one. So what
    /// may leave with its own memory block must not depend on the rest of `frames`.
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange>;

    /// The lowest run of reserved frames among these, pinned or not: what the allocator never gets.
    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange>;
}

impl<R: Reserved + ?Sized> Reserved for &R {
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange> {
        (**self).pinned(frames)
    }

    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        (**self).next_reserved(frames)
    }
}

/// Hooks that see only what is not reserved.
///
/// [`AllocatorHooks::isolate`] is refused for frames of which some are pinned, with [`Reason::PINNED`] and the pinned
/// ones. Everything else passes, without what is reserved: in several calls, in runs that may begin and end at any
/// frame, or in none.
///
/// ```
/// use sparsemem_core::{MarkModel, PfnRange};
/// use sparsemem_hotplug::{AllocatorHooks, Hotplug, OfflineError, Reserved, WithReserved};
///
/// fn unplug<M: MarkModel>(
///     hotplug: &mut Hotplug<'_, M>,
///     allocator: &mut impl AllocatorHooks,
///     metadata_of_boot: &impl Reserved,
///     module: PfnRange,
/// ) -> Result<(), OfflineError> {
///     hotplug.offline(&mut WithReserved::new(allocator, metadata_of_boot), module)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WithReserved<H, R> {
    hooks: H,
    reserved: R,
}

impl Reason {
    /// Why [`WithReserved`] does not isolate pinned frames.
    pub const PINNED: Self = Self::Policy("hold what memory that stays needs; remove that memory first");
}

impl<H: AllocatorHooks, R: Reserved> WithReserved<H, R> {
    /// The hooks `hooks` without what is reserved. Both may be references.
    pub const fn new(hooks: H, reserved: R) -> Self {
        Self { hooks, reserved }
    }

    /// The hooks, and the runs of `frames` that they may see.
    fn parts(&mut self, frames: PfnRange) -> (&mut H, impl Iterator<Item = PfnRange> + Clone) {
        let Self { hooks, reserved } = self;
        let reserved = &*reserved;
        (hooks, Without::new(frames, |rest| reserved.next_reserved(rest)))
    }
}

impl<H: AllocatorHooks, R: Reserved> AllocatorHooks for WithReserved<H, R> {
    fn next_withheld(&self, frames: PfnRange) -> Option<PfnRange> {
        let answers = [self.reserved.next_reserved(frames), self.hooks.next_withheld(frames)];
        answers.into_iter().filter_map(|answer| clipped(answer, frames)).min_by_key(|run| run.start())
    }

    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let (hooks, runs) = self.parts(frames);
        each(hooks, runs, H::give, H::take)
    }

    fn release(&mut self, frames: PfnRange) {
        let (hooks, runs) = self.parts(frames);
        for_every(runs, |run| hooks.release(run));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        if let Some(pinned) = clipped(self.reserved.pinned(frames), frames) {
            return Err(FramesRefused { frames: pinned, reason: Reason::PINNED });
        }
        let (hooks, runs) = self.parts(frames);
        each(hooks, runs, H::isolate, H::release)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let (hooks, mut runs) = self.parts(frames);
        runs.try_for_each(|run| hooks.evacuate(run))
    }

    fn take(&mut self, frames: PfnRange) {
        let (hooks, runs) = self.parts(frames);
        for_every(runs, |run| hooks.take(run));
    }
}

/// The part of an answer that lies in the frames that were asked about.
pub(crate) fn clipped(answer: Option<PfnRange>, frames: PfnRange) -> Option<PfnRange> {
    answer.map(|run| run.intersection(frames)).filter(|run| !run.is_empty())
}

/// The runs of a range without those that `next` answers with: of a rest of the range, the lowest to be left out.
#[derive(Clone)]
pub(crate) struct Without<F> {
    rest: PfnRange,
    next: F,
}

impl<F: Fn(PfnRange) -> Option<PfnRange>> Without<F> {
    /// What is left of `frames`.
    pub(crate) const fn new(frames: PfnRange, next: F) -> Self {
        Self { rest: frames, next }
    }
}

impl<F: Fn(PfnRange) -> Option<PfnRange>> Iterator for Without<F> {
    type Item = PfnRange;

    fn next(&mut self) -> Option<PfnRange> {
        while !self.rest.is_empty() {
            let none = PfnRange::empty_at(self.rest.end());
            let left_out = clipped((self.next)(self.rest), self.rest).unwrap_or(none);
            let (run, _) = self.rest.split_at(left_out.start());
            (_, self.rest) = self.rest.split_at(left_out.end());
            if !run.is_empty() {
                return Some(run);
            }
        }
        None
    }
}
