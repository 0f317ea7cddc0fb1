//! What a page allocator does when memory comes and goes.
//!
//! # Invariants
//!
//! 1. Each step that can fail is followed by one that undoes it and cannot. So an operation that fails midway puts the
//!    allocator back by dropping what it holds.

use sparsemem_core::PfnRange;

use crate::FramesRefused;

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
/// were. Source: Linux `online_pages` and `offline_pages`, which do the same steps (H-41, H-51, H-52).
pub trait AllocatorHooks {
    /// Gets frames, initialised but in nobody's hands, and must not hand them out yet.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`], for instance because a frame is known to be broken (H-33).
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// May hand isolated frames out from now on, those that are free.
    fn release(&mut self, frames: PfnRange);

    /// Stops handing frames out.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`] naming the frames that cannot be isolated.
    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// Moves the users of isolated frames elsewhere.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`] naming the frames that stay in use.
    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// Forgets frames that are isolated and free.
    fn take(&mut self, frames: PfnRange);
}

/// Frames that were given and are isolated. Taken back when dropped.
#[must_use = "dropping it takes the frames back"]
pub(crate) struct Given<'h, H: AllocatorHooks> {
    hooks: Option<&'h mut H>,
    frames: PfnRange,
}

impl<'h, H: AllocatorHooks> Given<'h, H> {
    /// Gives frames.
    pub(crate) fn new(hooks: &'h mut H, frames: PfnRange) -> Result<Self, FramesRefused> {
        hooks.give(frames)?;
        Ok(Self { hooks: Some(hooks), frames })
    }

    /// Makes the frames usable.
    pub(crate) fn release(mut self) {
        if let Some(hooks) = self.hooks.take() {
            hooks.release(self.frames);
        }
    }
}

impl<H: AllocatorHooks> Drop for Given<'_, H> {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.take() {
            hooks.take(self.frames);
        }
    }
}

/// Frames that were usable and are isolated. Usable again when dropped.
#[must_use = "dropping it makes the frames usable again"]
pub(crate) struct Isolated<'h, H: AllocatorHooks> {
    hooks: Option<&'h mut H>,
    frames: PfnRange,
}

impl<'h, H: AllocatorHooks> Isolated<'h, H> {
    /// Isolates frames.
    pub(crate) fn new(hooks: &'h mut H, frames: PfnRange) -> Result<Self, FramesRefused> {
        hooks.isolate(frames)?;
        Ok(Self { hooks: Some(hooks), frames })
    }

    /// Moves users elsewhere.
    pub(crate) fn evacuate(&mut self) -> Result<(), FramesRefused> {
        let frames = self.frames;
        self.hooks.as_mut().map_or(Ok(()), |hooks| hooks.evacuate(frames))
    }

    /// Takes the frames, which were evacuated, away from the allocator.
    pub(crate) fn take(mut self) {
        if let Some(hooks) = self.hooks.take() {
            hooks.take(self.frames);
        }
    }
}

impl<H: AllocatorHooks> Drop for Isolated<'_, H> {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.take() {
            hooks.release(self.frames);
        }
    }
}
