//! RAM and devices are removed, with everything that knows of them.
//!
//! # Invariants
//!
//! 1. Whatever can refuse is asked before the first section changes; forgetting blocks and resources cannot fail after
//!    that.

use sparsemem_core::{MemoryModel, NodeId, PfnRange, RetireError, RetireModel, Retired, Writer};

use crate::hotplug::bytes_or_empty;
use crate::{
    BlockError, BlockSpan, Hotplug, Kind, Request, RequestError, Resource, ResourceError, ResourceKind,
};

/// Why memory was not removed. Everything is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Somebody else writes to the model.
    #[error(
        "cannot remove {frames}: another operation of this model is running; try again when it has ended"
    )]
    Busy {
        /// The range that was given.
        frames: PfnRange,
    },
    /// The range is not valid for such memory.
    #[error(transparent)]
    Request(#[from] RequestError),
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
    #[error("cannot remove {frames}: {why}")]
    Retire {
        /// The range that was given.
        frames: PfnRange,
        /// The model's reason.
        why: RetireError,
    },
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// Removes RAM whose blocks are all offline. It need not have come in one piece.
    ///
    /// Source: Linux `try_remove_memory` (H-20). Differs from Linux: absent memory is an error, and RAM that came in
    /// several pieces can go as one.
    ///
    /// # Errors
    ///
    /// [`RemoveError`], naming what is in the way; everything is as it was.
    pub fn remove_memory<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Retired, RemoveError>
    where
        M: RetireModel<E>,
    {
        let mut writer = self.model.write().ok_or(RemoveError::Busy { frames })?;
        self.ram(frames)?;
        self.remove_range(&mut writer, env, frames, ResourceKind::SystemRam)
    }

    /// Removes a device's memory, all that one [`add_device`](Hotplug::add_device) added. Others in the same section
    /// stay, and so does the section's mark until its last part goes.
    ///
    /// Source: Linux `memunmap_pages` (H-66).
    ///
    /// # Errors
    ///
    /// [`RemoveError`], naming what is in the way; everything is as it was.
    pub fn remove_device<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Retired, RemoveError>
    where
        M: RetireModel<E>,
    {
        let mut writer = self.model.write().ok_or(RemoveError::Busy { frames })?;
        let request = Request::new(frames, NodeId::default(), Kind::Device, &self.limits)?;
        let touched = |it: &&Resource| it.kind == ResourceKind::Device && it.range.overlaps(request.bytes());
        if let Some(device) = self.resources.iter().find(touched).filter(|it| it.range != request.bytes()) {
            return Err(RemoveError::NotTheDevice { frames, device: *device });
        }
        self.remove_range(&mut writer, env, frames, ResourceKind::Device)
    }

    /// Retires `frames`, and forgets them.
    fn remove_range<E>(
        &mut self,
        writer: &mut Writer<'_, M>,
        env: &mut E,
        frames: PfnRange,
        kind: ResourceKind,
    ) -> Result<Retired, RemoveError>
    where
        M: RetireModel<E>,
    {
        let blocks = self.blocks.removal(self.blocks_of(frames, kind))?;
        let resource = self.resources.releasing(bytes_or_empty::<M::Geometry>(frames), kind)?;
        let retired = writer.retire(env, frames).map_err(|why| RemoveError::Retire { frames, why })?;
        blocks.commit();
        resource.commit();
        Ok(retired)
    }

    /// The blocks that go with a range: none for a device.
    fn blocks_of(&self, frames: PfnRange, kind: ResourceKind) -> BlockSpan {
        match self.ram(frames) {
            Ok((_, blocks)) if kind == ResourceKind::SystemRam => blocks,
            _ => BlockSpan::default(),
        }
    }
}
