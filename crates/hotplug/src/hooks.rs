//! The calls that hotplug makes to a page allocator.
//!
//! # Invariants
//!
//! 1. Each step that can fail has an opposite that cannot fail. So an operation that fails midway restores the
//!    allocator by dropping the values that it holds.

use sparsemem_core::PfnRange;

use crate::FramesRefused;
use crate::callbacks::for_every;

/// The page allocator, as hotplug sees it.
///
/// Frames have one of four states. Only the transitions marked "may refuse" return a result:
///
/// | from | call | to |
/// |---|---|---|
/// | unknown | [`give`](Self::give) (may refuse) | isolated and free |
/// | isolated | [`release`](Self::release) | usable |
/// | usable | [`isolate`](Self::isolate) (may refuse) | isolated, perhaps in use |
/// | isolated, perhaps in use | [`evacuate`](Self::evacuate) (may refuse) | isolated and free |
/// | isolated and free | [`take`](Self::take) | unknown |
///
/// Bringing memory online is give, mark, release; taking it offline is isolate, evacuate, mark, take. A call that
/// refuses leaves the frames unchanged. Frames that hold the memmap of their own block
/// ([`Ram::hosting`](crate::Ram::hosting)) are never passed: for a range with several such blocks, hotplug makes one
/// call for each run between their memmaps. Source: Linux `online_pages` and `offline_pages`, which do the same steps
/// (H-41, H-51, H-52).
///
/// If a call that may refuse unwinds, it must have done nothing. If a call that cannot refuse unwinds, it must have
/// done its work. In both cases the operation continues as after a refusal or a return, and then unwinding continues.
///
/// # Frames that the allocator never had
///
/// Hotplug knows memory blocks, and the memmaps that blocks host. It does not know which data boot and firmware put
/// into RAM: memmaps, usages and tables of sections, node data, tables of firmware. Its calls contain those frames,
/// so the allocator has two duties. If it neglects them, memory is lost or overwritten:
///
/// - It refuses to isolate frames that it never had, unless only their own memory block needs the data in them.
///   Hotplug does not check this later: when a block is offline,
///   [`Hotplug::remove_memory`](crate::Hotplug::remove_memory) removes its memory, even if the memmap of another
///   section lies there.
/// - It does not use those of the given frames that still hold such data. A block of boot that went offline and comes
///   back online still contains its own memmap, usually in the middle.
///
/// If an allocator neglects the first duty, hotplug removes memory that is still needed, and the kernel loses the
/// data in it. The environment must keep the memory of metadata blocks that it has handed out where it is
/// ([`MetadataMemory`](sparsemem_core::MetadataMemory), an `unsafe` trait), whatever memory is reported as removed.
/// If an allocator neglects the second duty, it gives memory with data of boot to its users. Neither makes an
/// operation of this crate unsound: no operation follows a pointer because of an allocator's answer.
///
/// [`WithReserved`](crate::WithReserved) fulfils both duties for any allocator. Linux marks these frames in their
/// descriptors, and neither isolates nor frees a marked frame (B-14).
///
/// ```
/// use std::collections::BTreeSet;
/// use sparsemem_core::{Pfn, PfnRange};
/// use sparsemem_hotplug::{AllocatorHooks, FramesRefused, Reason};
///
/// /// An allocator that hands out one frame at a time.
/// #[derive(Default)]
/// struct Frames {
///     free: BTreeSet<Pfn>,
///     used: BTreeSet<Pfn>,
///     isolated: Vec<PfnRange>,
/// }
///
/// fn each(frames: PfnRange) -> impl Iterator<Item = Pfn> {
///     (frames.start().get()..frames.end().get()).map(Pfn::new)
/// }
///
/// impl Frames {
///     fn allocate(&mut self) -> Option<Pfn> {
///         let is_open = |pfn: &&Pfn| !self.isolated.iter().any(|frames| frames.contains(**pfn));
///         let pfn = *self.free.iter().find(is_open)?;
///         self.free.remove(&pfn);
///         self.used.insert(pfn);
///         Some(pfn)
///     }
/// }
///
/// impl AllocatorHooks for Frames {
///     fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
///         self.isolated.push(frames);
///         self.free.extend(each(frames));
///         Ok(())
///     }
///
///     fn release(&mut self, frames: PfnRange) {
///         self.isolated.retain(|isolated| *isolated != frames);
///     }
///
///     fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
///         self.isolated.push(frames);
///         Ok(())
///     }
///
///     fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
///         // It cannot move users.
///         let is_free = !self.used.iter().any(|pfn| frames.contains(*pfn));
///         if is_free { Ok(()) } else { Err(FramesRefused { frames, reason: Reason::InUse }) }
///     }
///
///     fn take(&mut self, frames: PfnRange) {
///         each(frames).for_each(|pfn| assert!(self.free.remove(&pfn)));
///         self.isolated.retain(|isolated| *isolated != frames);
///     }
/// }
///
/// let (mut frames, block) = (Frames::default(), PfnRange::new(Pfn::new(0x8000), Pfn::new(0x1_0000))?);
/// frames.give(block).unwrap();
/// assert_eq!(frames.allocate(), None, "isolated");
/// frames.release(block);
/// let used = frames.allocate().unwrap();
/// frames.isolate(block).unwrap();
/// assert!(frames.evacuate(block).is_err(), "{used} is in use");
/// # Ok::<(), sparsemem_core::ReversedRange>(())
/// ```
pub trait AllocatorHooks {
    /// Gets frames that are initialised and have no user, and must not hand them out yet. It must never hand out
    /// those that hold data of boot or firmware.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`], for instance because a frame is known to be broken (H-33).
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// May hand out isolated frames from now on, if they are free.
    fn release(&mut self, frames: PfnRange);

    /// Stops handing out frames. Their memory may soon be removed, with all data in it.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`] with the frames that cannot be isolated, among them frames that the allocator never had and
    /// whose data is needed after their block is removed.
    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// Moves the users of isolated frames elsewhere.
    ///
    /// # Errors
    ///
    /// [`FramesRefused`] with the frames that stay in use.
    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused>;

    /// Forgets frames that are isolated and free.
    fn take(&mut self, frames: PfnRange);

    /// The lowest run among `frames` that the allocator does not use when it is given them, because they hold data of
    /// boot or firmware. Hotplug does not reset the descriptors of these frames, so that tags in them survive. `None`
    /// by default.
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

/// Calls `act` for each run. If one call refuses or unwinds, calls `undo` for the runs before it.
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

/// Undoes `act` for the first `done` runs when it is dropped, also by unwinding.
struct Acted<'h, H, R: Iterator<Item = PfnRange> + Clone, U: Fn(&mut H, PfnRange)> {
    hooks: &'h mut H,
    runs: R,
    done: usize,
    undo: U,
}

impl<H, R: Iterator<Item = PfnRange> + Clone, U: Fn(&mut H, PfnRange)> Drop for Acted<'_, H, R, U> {
    fn drop(&mut self) {
        let (mut runs, mut left) = (self.runs.clone(), self.done);
        // Not `Iterator::take`: it counts a run before it calls `next`, and `next` may unwind and be called again.
        let done = core::iter::from_fn(|| {
            let run = if left > 0 { runs.next() } else { None };
            left -= usize::from(run.is_some());
            run
        });
        for_every(done, |run| (self.undo)(self.hooks, run));
    }
}

/// Runs of frames that the allocator was given and that are isolated. Dropping this takes them back.
#[must_use = "dropping it takes the frames back"]
pub(crate) struct Given<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> {
    hooks: Option<&'h mut H>,
    runs: R,
}

impl<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> Given<'h, H, R> {
    /// Gives the frames to the allocator.
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

/// Runs of frames that were usable and are isolated. Dropping this makes them usable again.
#[must_use = "dropping it makes the frames usable again"]
pub(crate) struct Isolated<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> {
    hooks: Option<&'h mut H>,
    runs: R,
}

impl<'h, H: AllocatorHooks, R: Iterator<Item = PfnRange> + Clone> Isolated<'h, H, R> {
    /// Isolates the frames.
    pub(crate) fn new(hooks: &'h mut H, runs: R) -> Result<Self, FramesRefused> {
        each(hooks, runs.clone(), H::isolate, H::release)?;
        Ok(Self { hooks: Some(hooks), runs })
    }

    /// Moves the users of the frames elsewhere.
    pub(crate) fn evacuate(&mut self) -> Result<(), FramesRefused> {
        let Some(hooks) = self.hooks.as_mut() else { return Ok(()) };
        self.runs.clone().try_for_each(|run| hooks.evacuate(run))
    }

    /// Takes the evacuated frames away from the allocator.
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
