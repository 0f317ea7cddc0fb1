//! RAM goes online and offline, in whole memory blocks.
//!
//! # Invariants
//!
//! 1. Frames are marked online only while the allocator knows them; it hands them out only while they are marked.
//! 2. On the way, each step holds a value that puts things back when it is dropped: blocks, isolation, notifiers.

use sparsemem_core::{MarkModel, MemoryModel, PfnRange, PhysRange, initialise, reset};

use crate::hooks::{Given, Isolated};
use crate::mark::{check_switch, switch};
use crate::runs::Without;
use crate::{
    AllocatorHooks, BlockError, Direction, FramesRefused, Hotplug, NotifierRefused, PlanError, ResourceKind,
    SwitchError, Unfinished,
};

/// Why RAM did not come online. Everything is as it was, except as [`OnlineError::Switch`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// An earlier operation has to be finished first.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The range is none that memory blocks can have.
    #[error(transparent)]
    Plan(#[from] PlanError),
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
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

/// Why RAM did not go offline. Everything is as it was, except as [`OfflineError::Switch`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// An earlier operation has to be finished first.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The range is none that memory blocks can have.
    #[error(transparent)]
    Plan(#[from] PlanError),
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
    #[error(transparent)]
    Switch(#[from] SwitchError),
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
    /// [`OnlineError`]. If the model was busy while a failure was undone, [`Hotplug::finish`] goes on.
    pub fn online<H>(&mut self, hooks: &mut H, frames: PfnRange) -> Result<(), OnlineError>
    where
        H: AllocatorHooks,
    {
        self.check_finished()?;
        let (_, span) = self.ram(frames)?;
        let change = self.change(span, frames, Direction::Online)?;
        check_switch(self.model, frames, Direction::Online)?;
        let going = self.blocks.begin(span, Direction::Online)?;
        let told = self.chain.announce(change);
        told.verdict().map_err(|why| OnlineError::Notifier { frames, why })?;
        let usable = going.usable(frames, self.limits.block.frames());
        let withheld = |rest| hooks.next_withheld(rest);
        renew(self.model, frames, usable.clone().flat_map(|run| Without::new(run, withheld)));
        let given = Given::new(hooks, usable).map_err(|why| OnlineError::Allocator { frames, why })?;
        switch(self.model, frames, Direction::Online)
            .inspect_err(|error| self.unfinished = Unfinished::of_switch(error, Direction::Online))?;
        given.release();
        told.done();
        going.finish();
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
    /// [`OfflineError`]. If the model was busy while a failure was undone, [`Hotplug::finish`] goes on.
    pub fn offline<H>(&mut self, hooks: &mut H, frames: PfnRange) -> Result<(), OfflineError>
    where
        H: AllocatorHooks,
    {
        self.check_finished()?;
        let (bytes, span) = self.ram(frames)?;
        let change = self.change(span, frames, Direction::Offline)?;
        if let Some(hole) = self.resources.gap(bytes, ResourceKind::SystemRam) {
            return Err(OfflineError::Hole { frames, hole });
        }
        check_switch(self.model, frames, Direction::Offline)?;
        let going = self.blocks.begin(span, Direction::Offline)?;
        let allocator = |why| OfflineError::Allocator { frames, why };
        let mut isolated =
            Isolated::new(hooks, going.usable(frames, self.limits.block.frames())).map_err(allocator)?;
        let told = self.chain.announce(change);
        let model = self.model;
        let unfinished = &mut self.unfinished;
        let outcome = told
            .verdict()
            .map_err(|why| OfflineError::Notifier { frames, why })
            .and_then(|()| isolated.evacuate().map_err(allocator))
            .and_then(|()| mark_offline(model, frames, unfinished));
        if let Err(error) = outcome {
            // Before `told` is dropped, which tells the others: they may want to use the memory again (I-23).
            drop(isolated);
            return Err(error);
        }
        isolated.take();
        told.done();
        going.finish();
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

/// Marks frames offline, and remembers what is left if that cannot be undone.
fn mark_offline<M: MarkModel>(
    model: &M,
    frames: PfnRange,
    unfinished: &mut Option<Unfinished>,
) -> Result<(), OfflineError> {
    let result = switch(model, frames, Direction::Offline);
    Ok(result.inspect_err(|error| *unfinished = Unfinished::of_switch(error, Direction::Offline))?)
}
