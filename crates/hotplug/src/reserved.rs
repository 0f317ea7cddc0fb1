//! Keeps frames that a page allocator never had out of the calls to it.
//!
//! # Invariants
//!
//! 1. The wrapped allocator gets no call with a reserved frame, neither online nor offline.
//! 2. If frames hold data that is needed after their memory is removed, the call is refused before any frame is
//!    isolated.

use sparsemem_core::PfnRange;

use crate::callbacks::for_every;
use crate::hooks::each;
use crate::{AllocatorHooks, FramesRefused, Reason};

/// Knowledge of the frames in RAM that do not belong to the page allocator: metadata of boot, tables of firmware.
///
/// An answer may reach beyond the frames in question; an answer that touches none of them counts as `None`.
///
/// Answers may change between operations. Code that changes them must also hand the frames over: when a reservation
/// in online memory ends, it gives the frames to the allocator, as boot does.
///
/// For metadata of boot, `Registry` of `sparsemem-bootmem-registration` computes both answers.
///
/// If a method unwinds, that counts as a refusal by the method of [`AllocatorHooks`] that called it.
pub trait Reserved {
    /// Reserved frames among `frames` that must not go offline, because data in them is needed after their memory is
    /// removed: for example the memmap of a section that stays.
    ///
    /// The method is called for runs of frames: a range with several blocks takes several calls when a block [hosts
    /// its memmap](crate::Ram::hosting). And blocks that go offline together may be removed one by one. So an answer
    /// about one memory block must not depend on the other blocks in `frames`.
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange>;

    /// The lowest run of reserved frames among `frames`, pinned or not. The allocator never gets them.
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

/// Allocator hooks that pass only frames that are not reserved.
///
/// [`AllocatorHooks::isolate`] is refused if some of the frames are pinned, with [`Reason::PINNED`] and the pinned
/// frames. All other calls are passed on without the reserved frames: in several calls, in runs that may begin and
/// end at any frame, or in no call.
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
    /// The reason for which [`WithReserved`] does not isolate pinned frames.
    pub const PINNED: Self = Self::Policy("hold data that other memory needs; remove that memory first");
}

impl<H: AllocatorHooks, R: Reserved> WithReserved<H, R> {
    /// Wraps `hooks` and hides the frames that `reserved` names. Both may be references.
    pub const fn new(hooks: H, reserved: R) -> Self {
        Self { hooks, reserved }
    }

    /// The wrapped hooks, and the runs of `frames` that may be passed to them.
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

/// The part of an answer that lies in the frames in question.
pub(crate) fn clipped(answer: Option<PfnRange>, frames: PfnRange) -> Option<PfnRange> {
    answer.map(|run| run.intersection(frames)).filter(|run| !run.is_empty())
}

/// The runs of a range without those that `next` names. `next` gets the rest of the range and returns the lowest run
/// in it to leave out.
#[derive(Clone)]
pub(crate) struct Without<F> {
    rest: PfnRange,
    next: F,
}

impl<F: Fn(PfnRange) -> Option<PfnRange>> Without<F> {
    /// The runs of `frames` without those that `next` names.
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
