//! What a page allocator does when memory comes and goes.
//!
//! # Invariants
//!
//! 1. Each step that can fail is followed by one that undoes it and cannot. So an operation that fails midway puts the
//!    allocator back by dropping what it holds.

use sparsemem_core::PfnRange;

use crate::FramesRefused;
use crate::callbacks::for_every;

/// The page allocator, as hotplug sees it.
///
/// Frames go through four states. Only the arrows that can refuse return a result:
///
/// | from | call | to |
/// |---|---|---|
/// | unknown | [`give`](Self::give) (may refuse) | isolated and free |
/// | isolated | [`release`](Self::release) | usable |
/// | usable | [`isolate`](Self::isolate) (may refuse) | isolated, perhaps in use |
/// | isolated, perhaps in use | [`evacuate`](Self::evacuate) (may refuse) | isolated and free |
/// | isolated and free | [`take`](Self::take) | unknown |
///
/// Online is give, mark, release; offline is isolate, evacuate, mark, take. A call that refuses leaves frames as they
/// were. Frames that hold the memmap of their own block ([`Ram::hosting`](crate::Ram::hosting)) are in no call: a range
/// with several such blocks comes in as many calls as there are runs between. Source: Linux `online_pages` and
/// `offline_pages`, which do the same steps (H-41, H-51, H-52).
///
/// A call that may refuse and unwinds instead has done nothing; one that cannot refuse and unwinds has done its work. Either
/// way the operation goes on as after a refusal or a return, and then unwinding goes on.
///
/// # Frames that the allocator never had
///
/// Hotplug knows blocks and memmaps that blocks host. It does not know what boot and firmware laid into RAM: memmaps,
/// usages and tables of sections, node data, tables of firmware. Calls contain those frames, and the allocator has two
/// duties, without which memory is lost or overwritten:
///
/// - It refuses to isolate frames that it never had, unless what lies there goes with the memory block that they are
///   in. Nobody else asks: when a block is offline, [`Hotplug::remove_memory`](crate::Hotplug::remove_memory) takes its
///   memory away, and with it the memmap of another section, if that lies there.
/// - Of frames that are given it leaves alone what still holds such data. A block of boot that went offline and comes
///   back online still has its own memmap in it, and usually in the middle.
///
/// An allocator that breaks the first makes hotplug take memory away that somebody needs: the data in it is lost to the kernel,
/// and it is for the environment to keep the memory of blocks that are out where it is
/// ([`MetadataMemory`](sparsemem_core::MetadataMemory), an `unsafe` trait), whatever is said to be removed. One that breaks the
/// second gives memory with data of boot to its users. Neither makes an operation here unsound: none follows a pointer on an
/// allocator's word.
///
/// [`WithReserved`](crate::WithReserved) does both for any allocator. Linux knows these frames by a mark in their
/// descriptors, and neither isolates nor frees any that has it (B-14).
pub trait AllocatorHooks {
    /// Gets frames, initialised but in nobody's hands, and must not hand them out yet; those that hold data of boot or
    /// firmware never.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`], for instance because a frame is known to be broken (H-33).
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// May hand isolated frames out from now on, those that are free.
    fn release(&mut self, frames: PfnRange);

    /// Stops handing frames out. The memory may be gone soon, with all that anybody laid into it.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`] naming the frames that cannot be isolated, among them frames that the allocator never had and
    /// that somebody needs when their block is gone.
    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// Moves the users of isolated frames elsewhere.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`] naming the frames that stay in use.
    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// Forgets frames that are isolated and free.
    fn take(&mut self, frames: PfnRange);

    /// The lowest run of frames among these that the allocator does not take when they are given, because they hold data
    /// of boot or firmware: their descriptors keep what is written to them, as tags are. None by default.
    fn next_withheld(&self, frames: PfnRange) -> Option<PfnRange> {
        let _ = frames;
        None
    }
}

impl<H: AllocatorHooks + ?Sized> AllocatorHooks for &mut H {
    fn next_withheld(&self, frames: PfnRange) -> Option<PfnRange> {
        (**self).next_withheld(frames)
    }

    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        (**self).give(frames)
    }

    fn release(&mut self, frames: PfnRange) {
        (**self).release(frames);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        (**self).isolate(frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        (**self).evacuate(frames)
    }

    fn take(&mut self, frames: PfnRange) {
        (**self).take(frames);
    }
}

/// Does something to each of some runs, or, if one of them refuses or unwinds, undoes it for those before.
pub(crate) fn each<H>(
    hooks: &mut H,
    runs: impl Iterator<Item = PfnRange> + Clone,
    act: impl Fn(&mut H, PfnRange) -> Result<(), FramesRefused>,
    undo: impl Fn(&mut H, PfnRange),
) -> Result<(), FramesRefused> {
    let mut acted = Acted { hooks, runs: runs.clone(), done: 0, undo };
    for run in runs {
        act(acted.hooks, run)?;
        acted.done += 1;
    }
    acted.done = 0;
    Ok(())
}

/// Undoes what was done to the first `done` runs when it is dropped, also by unwinding.
struct Acted<'h, H, R: Iterator<Item = PfnRange> + Clone, U: Fn(&mut H, PfnRange)> {
    hooks: &'h mut H,
    runs: R,
    done: usize,
    undo: U,
}

impl<H, R: Iterator<Item = PfnRange> + Clone, U: Fn(&mut H, PfnRange)> Drop for Acted<'_, H, R, U> {
    fn drop(&mut self) {
        let (mut runs, mut left) = (self.runs.clone(), self.done);
        // Not `Iterator::take`: it counts a run before it asks for it, and who is asked may unwind and be asked again.
        let done = core::iter::from_fn(|| {
            let run = if left > 0 { runs.next() } else { None };
            left -= usize::from(run.is_some());
            run
        });
        for_every(done, |run| (self.undo)(self.hooks, run));
    }
}

/// Runs of frames that were given and are isolated. Taken back when dropped.
#[must_use = "dropping it takes the frames back"]
pub(crate) struct Given<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> {
    hooks: Option<&'h mut H>,
    runs: R,
}

impl<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> Given<'h, H, R> {
    /// Gives frames.
    pub(crate) fn new(hooks: &'h mut H, runs: R) -> Result<Self, FramesRefused> {
        each(hooks, runs.clone(), H::give, H::take)?;
        Ok(Self { hooks: Some(hooks), runs })
    }

    /// Makes the frames usable.
    pub(crate) fn release(mut self) {
        if let Some(hooks) = self.hooks.take() {
            for_every(self.runs.clone(), |run| hooks.release(run));
        }
    }
}

impl<H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> Drop for Given<'_, H, R> {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.take() {
            for_every(self.runs.clone(), |run| hooks.take(run));
        }
    }
}

/// Runs of frames that were usable and are isolated. Usable again when dropped.
#[must_use = "dropping it makes the frames usable again"]
pub(crate) struct Isolated<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> {
    hooks: Option<&'h mut H>,
    runs: R,
}

impl<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> Isolated<'h, H, R> {
    /// Isolates frames.
    pub(crate) fn new(hooks: &'h mut H, runs: R) -> Result<Self, FramesRefused> {
        each(hooks, runs.clone(), H::isolate, H::release)?;
        Ok(Self { hooks: Some(hooks), runs })
    }

    /// Moves users elsewhere.
    pub(crate) fn evacuate(&mut self) -> Result<(), FramesRefused> {
        let Some(hooks) = self.hooks.as_mut() else { return Ok(()) };
        self.runs.clone().try_for_each(|run| hooks.evacuate(run))
    }

    /// Takes the frames, which were evacuated, away from the allocator.
    pub(crate) fn take(mut self) {
        if let Some(hooks) = self.hooks.take() {
            for_every(self.runs.clone(), |run| hooks.take(run));
        }
    }
}

impl<H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> Drop for Isolated<'_, H, R> {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.take() {
            for_every(self.runs.clone(), |run| hooks.release(run));
        }
    }
}
