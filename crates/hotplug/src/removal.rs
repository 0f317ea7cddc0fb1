//! RAM and devices go, with everything that knows of them.
//!
//! # Invariants
//!
//! 1. Whatever can refuse is asked before the first section changes; forgetting blocks and resources cannot fail after
//!    that.

use sparsemem_core::{MemoryModel, NodeId, PfnRange, RetireModel};

use crate::hotplug::bytes_or_empty;
use crate::remove::remove_frames;
use crate::{
    BlockError, BlockSpan, Hotplug, Kind, Plan, PlanError, RemoveError, Removed, Resource, ResourceError,
    ResourceKind, Unfinished,
};

/// Why memory was not removed. Everything is as it was, except as [`RemovalError::Remove`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemovalError {
    /// An earlier operation has to be finished first.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The range is none that such memory can have.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A memory block is not there, or not offline.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The addresses are not registered as what should go.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The range is a part of a device, or reaches beyond one: devices go as they came.
    #[error("{frames} is not the whole of a device; \"{}\" has {}", device.name, device.range)]
    NotTheDevice {
        /// The range that was given.
        frames: PfnRange,
        /// The lowest device that has a part of it.
        device: Resource,
    },
    /// The model would not let the memory go.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// Removes RAM whose blocks are all offline. It need not have come in one piece.
    ///
    /// Source: Linux `try_remove_memory` (H-20). Differs from Linux: absent memory is an error, and RAM that came in
    /// several pieces can go as one.
    ///
    /// # Errors
    ///
    /// [`RemovalError`], naming what is in the way. If the model was busy halfway, [`Hotplug::finish`] goes on.
    pub fn remove_memory<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Removed, RemovalError>
    where
        M: RetireModel<E>,
    {
        self.check_finished()?;
        self.ram(frames)?;
        self.remove_range(env, frames, frames, ResourceKind::SystemRam)
    }

    /// Removes a device's memory, all that one [`add_device`](Hotplug::add_device) added. Others in the same section
    /// stay, and so does the section's mark until its last part goes.
    ///
    /// Source: Linux `memunmap_pages` (H-66).
    ///
    /// # Errors
    ///
    /// [`RemovalError`], naming what is in the way. If the model was busy halfway, [`Hotplug::finish`] goes on.
    pub fn remove_device<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Removed, RemovalError>
    where
        M: RetireModel<E>,
    {
        self.check_finished()?;
        let plan = Plan::new(frames, NodeId::default(), Kind::Device, &self.limits)?;
        let touched = |it: &&Resource| it.kind == ResourceKind::Device && it.range.overlaps(plan.bytes());
        if let Some(device) = self.resources.iter().find(touched).filter(|it| it.range != plan.bytes()) {
            return Err(RemovalError::NotTheDevice { frames, device: *device });
        }
        self.remove_range(env, frames, frames, ResourceKind::Device)
    }

    /// Retires `rest`, which is all that is left of `frames`, and forgets `frames`.
    pub(crate) fn remove_range<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        rest: PfnRange,
        kind: ResourceKind,
    ) -> Result<Removed, RemovalError>
    where
        M: RetireModel<E>,
    {
        let blocks = self.blocks.removal(self.blocks_of(frames, kind))?;
        let resource = self.resources.releasing(bytes_or_empty::<M::Geometry>(frames), kind)?;
        let removed = remove_frames(self.model, env, rest).inspect_err(|error| {
            // A refusal leaves what was unfinished before as it was.
            self.unfinished = Unfinished::of_removal(error, frames, kind).or(self.unfinished);
        })?;
        blocks.commit();
        resource.commit();
        self.unfinished = None;
        Ok(removed)
    }

    /// The blocks that go with a range: none for a device.
    fn blocks_of(&self, frames: PfnRange, kind: ResourceKind) -> BlockSpan {
        match self.ram(frames) {
            Ok((_, blocks)) if kind == ResourceKind::SystemRam => blocks,
            _ => BlockSpan::default(),
        }
    }
}
