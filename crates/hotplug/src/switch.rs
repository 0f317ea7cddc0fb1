//! RAM is switched online and offline, in whole memory blocks.
//!
//! # Invariants
//!
//! 1. Frames are marked online only while the allocator knows them; it hands them out only while they are marked.
//! 2. Until the frames are marked, each step holds a value that puts things back when it is dropped, also by unwinding:
//!    blocks, isolation, notifiers. Marking the frames is the point of no return: from there on, blocks have arrived, and
//!    allocator and notifiers hear so, whoever of them unwinds.

use sparsemem_core::{Mark, MarkError, MarkModel, MemoryModel, PfnRange, PhysRange, initialise, reset};

use crate::hooks::{Given, Isolated};
use crate::reserved::Without;
use crate::{
    AllocatorHooks, BlockError, Direction, FramesRefused, Hotplug, NotifierRefused, RequestError,
    ResourceKind,
};

/// Why RAM did not come online. Everything is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// Somebody else writes to the model.
    #[error(
        "cannot bring {frames} online: another operation of this model is running; try again when it has ended"
    )]
    Busy {
        /// The frames.
        frames: PfnRange,
    },
    /// The range is not valid for memory blocks.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A memory block is absent, not offline, or of another node.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A notifier does not want it.
    #[error("cannot bring {frames} online: {why}")]
    Notifier {
        /// The frames.
        frames: PfnRange,
        /// Who, and why.
        why: NotifierRefused,
    },
    /// The allocator does not take the frames.
    #[error("cannot bring {frames} online: the allocator refuses {why}")]
    Allocator {
        /// The frames.
        frames: PfnRange,
        /// Which of them, and why.
        why: FramesRefused,
    },
    /// The model would not mark the frames.
    #[error("cannot mark {frames}: {why}")]
    Mark {
        /// The frames.
        frames: PfnRange,
        /// The model's reason.
        why: MarkError,
    },
}

/// Why RAM did not go offline. Everything is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// Somebody else writes to the model.
    #[error(
        "cannot take {frames} offline: another operation of this model is running; try again when it has ended"
    )]
    Busy {
        /// The frames.
        frames: PfnRange,
    },
    /// The range is not valid for memory blocks.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A memory block is absent, not online, or of several nodes.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Not all of the range is RAM.
    #[error("cannot take {frames} offline: {hole} is not RAM")]
    Hole {
        /// The frames.
        frames: PfnRange,
        /// The lowest part that is not RAM.
        hole: PhysRange,
    },
    /// The allocator keeps some of the frames.
    #[error("cannot take {frames} offline: the allocator refuses {why}")]
    Allocator {
        /// The frames.
        frames: PfnRange,
        /// Which of them, and why.
        why: FramesRefused,
    },
    /// A notifier does not want it.
    #[error("cannot take {frames} offline: {why}")]
    Notifier {
        /// The frames.
        frames: PfnRange,
        /// Who, and why.
        why: NotifierRefused,
    },
    /// The model would not mark the frames.
    #[error("cannot mark {frames}: {why}")]
    Mark {
        /// The frames.
        frames: PfnRange,
        /// The model's reason.
        why: MarkError,
    },
}

impl<M: MarkModel> Hotplug<'_, M> {
    /// Brings the blocks of a range online, all or none.
    ///
    /// In order: blocks are going online; notifiers are asked; descriptors are reset; the allocator gets the frames; they
    /// are marked online; the allocator may hand them out; notifiers hear that it is done. What earlier users wrote to
    /// descriptors is gone as soon as the notifiers agree; those of frames that hold a memmap
    /// ([`Ram::hosting`](crate::Ram::hosting)) keep it. Source: Linux `online_pages` (H-41). Differs from Linux: several
    /// blocks are one operation, and when something fails only those notifiers hear of it who had agreed (T-24).
    ///
    /// # Errors
    ///
    /// [`OnlineError`]; everything is as it was.
    pub fn online<H>(&mut self, hooks: &mut H, frames: PfnRange) -> Result<(), OnlineError>
    where
        H: AllocatorHooks,
    {
        let mut writer = self.model.write().ok_or(OnlineError::Busy { frames })?;
        let (_, span) = self.ram(frames)?;
        let change = self.change(span, frames, Direction::Online)?;
        let mark = |why| OnlineError::Mark { frames, why };
        MarkError::check(self.model, frames, Mark::Online).map_err(mark)?;
        let going = self.blocks.begin(span, Direction::Online)?;
        let told = self.chain.announce(change);
        told.verdict().map_err(|why| OnlineError::Notifier { frames, why })?;
        let usable = going.usable(frames, self.limits.block.frames());
        let withheld = |rest| hooks.next_withheld(rest);
        renew(self.model, frames, usable.clone().flat_map(|run| Without::new(run, withheld)));
        let given = Given::new(hooks, usable).map_err(|why| OnlineError::Allocator { frames, why })?;
        writer.set_online(frames).map_err(mark)?;
        let told = told.happened();
        going.arrived();
        given.release();
        drop(told);
        Ok(())
    }

    /// Takes the blocks of a range offline, all or none.
    ///
    /// In order: blocks are going offline; the allocator isolates the frames; notifiers are asked; the allocator moves
    /// users away; the frames are marked offline; the allocator forgets them; notifiers hear that it is done. When
    /// something fails, isolation ends before those who agreed hear of it. Source: Linux `offline_pages` (H-50 to
    /// H-53). Differs from Linux: there the whole chain hears of a cancellation (T-23).
    ///
    /// # Errors
    ///
    /// [`OfflineError`]; everything is as it was.
    pub fn offline<H>(&mut self, hooks: &mut H, frames: PfnRange) -> Result<(), OfflineError>
    where
        H: AllocatorHooks,
    {
        let mut writer = self.model.write().ok_or(OfflineError::Busy { frames })?;
        let (bytes, span) = self.ram(frames)?;
        let change = self.change(span, frames, Direction::Offline)?;
        if let Some(hole) = self.resources.gap(bytes, ResourceKind::SystemRam) {
            return Err(OfflineError::Hole { frames, hole });
        }
        let mark = |why| OfflineError::Mark { frames, why };
        MarkError::check(self.model, frames, Mark::Offline).map_err(mark)?;
        let going = self.blocks.begin(span, Direction::Offline)?;
        let allocator = |why| OfflineError::Allocator { frames, why };
        let isolated =
            Isolated::new(hooks, going.usable(frames, self.limits.block.frames())).map_err(allocator)?;
        // In this order they are dropped: isolation ends before those who agreed hear of it, as they may want to use the
        // memory again (I-23).
        let mut under_way = (isolated, self.chain.announce(change));
        under_way.1.verdict().map_err(|why| OfflineError::Notifier { frames, why })?;
        under_way.0.evacuate().map_err(allocator)?;
        writer.set_offline(frames).map_err(mark)?;
        let (isolated, told) = under_way;
        let told = told.happened();
        going.arrived();
        isolated.take();
        drop(told);
        Ok(())
    }
}

/// Resets the descriptors of frames that an allocator gets. Those between keep what they hold and are only initialised.
fn renew<M: MemoryModel>(model: &M, frames: PfnRange, gets: impl Iterator<Item = PfnRange>) {
    let mut kept = frames;
    for run in gets {
        initialise(model, kept.split_at(run.start()).0);
        reset(model, run);
        kept = kept.split_at(run.end()).1;
    }
    initialise(model, kept);
}
