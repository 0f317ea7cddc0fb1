//! The device as the last who is asked: the hooks of the allocator, and the device's consent with them.
//!
//! # Invariants
//!
//! 1. The device is asked to plug frames when the allocator has agreed to take them and everything else is ready, and
//!    to unplug them when the allocator has let them go. If it refuses, the allocator gets the opposite call, as after
//!    a refusal of its own.
//! 2. If nobody knows what the device did, the frames are not used, and `unsure` has them.

use sparsemem_core::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, Direction, FramesRefused, Reason, Reserved, WithReserved};

use crate::device::{Outcome, change};
use crate::{Device, DeviceRefused, Request, Run};

/// A page allocator that never accesses the memory of isolated frames.
///
/// This is the duty that memory of a `virtio-mem` device adds to [`AllocatorHooks`]: frames are isolated when the
/// device does not have them yet, or not any more, and accessing them then may end the virtual machine. Concretely:
///
/// - [`give`](AllocatorHooks::give) records the frames, and writes nothing to them. An allocator that links free frames
///   through their own memory does so in [`release`](AllocatorHooks::release).
/// - [`isolate`](AllocatorHooks::isolate) takes free frames from its lists, so that
///   [`take`](AllocatorHooks::take) finds nothing there to unlink. [`evacuate`](AllocatorHooks::evacuate) may read
///   frames in use, as long as it is copying them.
///
/// Descriptors may be accessed all the time. Implementing the trait is the promise.
pub trait KeepsOff: AllocatorHooks {}

impl<H: KeepsOff + ?Sized> KeepsOff for &mut H {}

impl<H: KeepsOff, R: Reserved> KeepsOff for WithReserved<H, R> {}

/// The reason that hotplug reports when the device refuses; the driver then reports the device's refusal.
const REASON: Reason = Reason::Policy("the virtio-mem device refuses");

/// Hooks for one operation on frames that are one run of the device's blocks.
pub(crate) struct Asking<'a, H, D> {
    hooks: &'a mut H,
    device: &'a mut D,
    run: Run,
    direction: Direction,
    /// Frames that the device may or may not have plugged, and that nobody uses.
    unsure: &'a mut Option<PfnRange>,
    /// True if the device did what this operation asks it for.
    done: bool,
    /// The device's refusal.
    pub(crate) refused: Option<DeviceRefused>,
    /// True if neither the allocator nor the device has the frames any more, so that a failure has changed something.
    pub(crate) stranded: bool,
}

impl<'a, H, D: Device> Asking<'a, H, D> {
    /// Hooks for bringing frames online or taking them offline.
    pub(crate) fn new(
        hooks: &'a mut H,
        device: &'a mut D,
        run: Run,
        direction: Direction,
        unsure: &'a mut Option<PfnRange>,
    ) -> Self {
        Self { hooks, device, run, direction, unsure, done: false, refused: None, stranded: false }
    }
}

/// Calls `undo` when it is dropped, also by unwinding.
struct Undo<'h, H> {
    hooks: Option<&'h mut H>,
    frames: PfnRange,
    undo: fn(&mut H, PfnRange),
}

impl<H> Drop for Undo<'_, H> {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.take() {
            (self.undo)(hooks, self.frames);
        }
    }
}

impl<H: KeepsOff, D: Device> AllocatorHooks for Asking<'_, H, D> {
    fn next_withheld(&self, frames: PfnRange) -> Option<PfnRange> {
        self.hooks.next_withheld(frames)
    }

    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.hooks.give(frames)?;
        let mut given = Undo { hooks: Some(&mut *self.hooks), frames, undo: H::take };
        let refused = match change(self.device, Request::Plug(self.run)) {
            Outcome::Done => {
                given.hooks = None;
                self.done = true;
                return Ok(());
            }
            Outcome::Refused(refused) => refused,
            Outcome::Unknown(refused) => {
                *self.unsure = Some(frames);
                refused
            }
        };
        self.refused = Some(refused);
        Err(FramesRefused { frames, reason: REASON })
    }

    fn release(&mut self, frames: PfnRange) {
        if self.direction == Direction::Offline && self.done {
            // The model broke its promise to retire what it said it would, and the device may not plug the frames
            // again, because it asked for less. Then nobody has them.
            if change(self.device, Request::Plug(self.run)) != Outcome::Done {
                self.stranded = true;
                return self.hooks.take(frames);
            }
            *self.unsure = None;
        }
        self.hooks.release(frames);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.hooks.isolate(frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.hooks.evacuate(frames)?;
        match change(self.device, Request::Unplug(self.run)) {
            Outcome::Done => {}
            Outcome::Refused(refused) => {
                self.refused = Some(refused);
                return Err(FramesRefused { frames, reason: REASON });
            }
            // Perhaps the memory is gone already, so nobody may use it again.
            Outcome::Unknown(_) => *self.unsure = Some(frames),
        }
        self.done = true;
        Ok(())
    }

    fn take(&mut self, frames: PfnRange) {
        let undo = self.direction == Direction::Online && self.done;
        self.stranded = self.direction == Direction::Offline;
        if undo {
            *self.unsure = Some(frames);
        }
        self.hooks.take(frames);
        if undo && change(self.device, Request::Unplug(self.run)) == Outcome::Done {
            *self.unsure = None;
        }
    }
}
