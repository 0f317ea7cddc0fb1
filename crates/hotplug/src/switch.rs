//! Switches RAM online and offline, in whole memory blocks.
//!
//! # Invariants
//!
//! 1. Frames are marked online only while the allocator has them, and the allocator hands them out only while they
//!    are marked.
//! 2. Until the frames are marked, each step holds a value that undoes the step when it is dropped, also by
//!    unwinding: blocks, isolation, notifiers. After the frames are marked, the switch is final: the blocks get their
//!    new state, and the allocator and the notifiers are called, even if one of them unwinds.

use sparsemem_core::{Mark, MarkError, MarkModel, MemoryModel, PfnRange, PhysRange, initialise, reset};

use crate::hooks::{Given, Isolated};
use crate::reserved::Without;
use crate::{
    AllocatorHooks, BlockError, Direction, FramesRefused, Hotplug, NotifierRefused, RequestError,
    ResourceKind,
};

/// The reason why RAM did not come online. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// Another writer has the model.
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
    /// A notifier refuses.
    #[error("cannot bring {frames} online: {why}")]
    Notifier {
        /// The frames.
        frames: PfnRange,
        /// The notifier, and its reason.
        why: NotifierRefused,
    },
    /// The allocator does not take some of the frames.
    #[error("cannot bring {frames} online: the allocator refuses {why}")]
    Allocator {
        /// The frames.
        frames: PfnRange,
        /// The refused frames, and the reason.
        why: FramesRefused,
    },
    /// The model does not mark the frames.
    #[error("cannot mark {frames}: {why}")]
    Mark {
        /// The frames.
        frames: PfnRange,
        /// The model's reason.
        why: MarkError,
    },
}

/// The reason why RAM did not go offline. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// Another writer has the model.
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
    /// Part of the range is not RAM.
    #[error("cannot take {frames} offline: {hole} is not RAM")]
    Hole {
        /// The frames.
        frames: PfnRange,
        /// The lowest part that is not RAM.
        hole: PhysRange,
    },
    /// The allocator does not give up some of the frames.
    #[error("cannot take {frames} offline: the allocator refuses {why}")]
    Allocator {
        /// The frames.
        frames: PfnRange,
        /// The refused frames, and the reason.
        why: FramesRefused,
    },
    /// A notifier refuses.
    #[error("cannot take {frames} offline: {why}")]
    Notifier {
        /// The frames.
        frames: PfnRange,
        /// The notifier, and its reason.
        why: NotifierRefused,
    },
    /// The model does not mark the frames.
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
    /// In this order: the blocks are marked as going online; notifiers are asked; descriptors are reset; the
    /// allocator gets the frames; the frames are marked online; the allocator may hand them out; notifiers are called
    /// with the end of the change. As soon as the notifiers agree, descriptors lose the data of earlier users, except
    /// those of frames that hold a memmap ([`Ram::hosting`](crate::Ram::hosting)). Source: Linux `online_pages`
    /// (H-41). Differs from Linux: one operation switches several blocks, and when a step fails only the notifiers
    /// that agreed are called (T-24).
    ///
    /// # Errors
    ///
    /// [`OnlineError`]; nothing has changed then.
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
        let announced = self.chain.announce(change);
        announced.verdict().map_err(|why| OnlineError::Notifier { frames, why })?;
        let usable = going.usable(frames, self.limits.block.frames());
        let withheld = |rest| hooks.next_withheld(rest);
        renew(self.model, frames, usable.clone().flat_map(|run| Without::new(run, withheld)));
        let given = Given::new(hooks, usable).map_err(|why| OnlineError::Allocator { frames, why })?;
        writer.set_online(frames).map_err(mark)?;
        let announced = announced.happened();
        going.arrived();
        given.release();
        drop(announced);
        Ok(())
    }

    /// Takes the blocks of a range offline, all or none.
    ///
    /// In this order: the blocks are marked as going offline; the allocator isolates the frames; notifiers are asked;
    /// the allocator moves the users of the frames elsewhere; the frames are marked offline; the allocator loses
    /// them; notifiers are called with the end of the change. When a step fails, isolation ends before the notifiers
    /// that agreed are called. Source: Linux `offline_pages` (H-50 to H-53). Differs from Linux: there a cancellation
    /// goes to the whole chain (T-23).
    ///
    /// # Errors
    ///
    /// [`OfflineError`]; nothing has changed then.
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
        // They are dropped in this order: isolation ends before the notifiers that agreed are called, because they
        // may want to use the memory again (I-23).
        let mut under_way = (isolated, self.chain.announce(change));
        under_way.1.verdict().map_err(|why| OfflineError::Notifier { frames, why })?;
        under_way.0.evacuate().map_err(allocator)?;
        writer.set_offline(frames).map_err(mark)?;
        let (isolated, announced) = under_way;
        let announced = announced.happened();
        going.arrived();
        isolated.take();
        drop(announced);
        Ok(())
    }
}

/// Resets the descriptors of frames that an allocator gets. Those of the frames between them keep their contents and
/// are only initialised.
pub(crate) fn renew<M: MemoryModel>(model: &M, frames: PfnRange, gets: impl Iterator<Item = PfnRange>) {
    let mut kept = frames;
    for run in gets {
        initialise(model, kept.split_at(run.start()).0);
        reset(model, run);
        kept = kept.split_at(run.end()).1;
    }
    initialise(model, kept);
}
