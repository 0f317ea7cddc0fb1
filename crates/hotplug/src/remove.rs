//! Removes RAM and devices, and all records of them.
//!
//! # Invariants
//!
//! 1. Every check that can refuse is made before the first section changes; after that, removing blocks and resources
//!    from their tables cannot fail.

use sparsemem_core::{MemoryModel, NodeId, PfnRange, RetireError, RetireModel, Retired, Writer};

use crate::hotplug::bytes_or_empty;
use crate::{
    BlockError, BlockSpan, Hotplug, MemoryKind, Request, RequestError, Resource, ResourceError, ResourceKind,
};

/// The reason why memory was not removed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Another writer has the model.
    #[error(
        "cannot remove {frames}: another operation of this model is running; try again when it has ended"
    )]
    Busy {
        /// The range that was given.
        frames: PfnRange,
    },
    /// The range is not valid for RAM or a device.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A memory block does not exist, or is not offline.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The addresses are not registered as RAM or as a device.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The range is only a part of a device, or reaches past its end: a device is removed as it was added.
    #[error("{frames} is not the whole of a device; remove all of \"{}\", which has {}", device.name, device.range)]
    NotTheDevice {
        /// The range that was given.
        frames: PfnRange,
        /// The lowest device that has a part of it.
        device: Resource,
    },
    /// The model does not remove the memory.
    #[error("cannot remove {frames}: {why}")]
    Retire {
        /// The range that was given.
        frames: PfnRange,
        /// The model's reason.
        why: RetireError,
    },
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// Removes RAM whose blocks are all offline. It may have been added in several pieces.
    ///
    /// Source: Linux `try_remove_memory` (H-20). Differs from Linux: removing absent memory is an error, and RAM that
    /// was added in several pieces can be removed in one call.
    ///
    /// # Errors
    ///
    /// [`RemoveError`], naming the obstacle; nothing has changed then.
    pub fn remove_memory<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Retired, RemoveError>
    where
        M: RetireModel<E>,
    {
        let mut writer = self.model.write().ok_or(RemoveError::Busy { frames })?;
        self.ram(frames)?;
        self.remove_range(&mut writer, env, frames, ResourceKind::SystemRam)
    }

    /// Removes all memory that one call of [`add_device`](Hotplug::add_device) added. Other devices in the same
    /// section stay, and the section keeps its mark until its last part is removed.
    ///
    /// Source: Linux `memunmap_pages` (H-66).
    ///
    /// # Errors
    ///
    /// [`RemoveError`], naming the obstacle; nothing has changed then.
    pub fn remove_device<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Retired, RemoveError>
    where
        M: RetireModel<E>,
    {
        let mut writer = self.model.write().ok_or(RemoveError::Busy { frames })?;
        let request = Request::new(frames, NodeId::default(), MemoryKind::Device, &self.limits)?;
        let touched = |it: &&Resource| it.kind == ResourceKind::Device && it.range.overlaps(request.bytes());
        if let Some(device) = self.resources.iter().find(touched).filter(|it| it.range != request.bytes()) {
            return Err(RemoveError::NotTheDevice { frames, device: *device });
        }
        self.remove_range(&mut writer, env, frames, ResourceKind::Device)
    }

    /// Retires `frames`, and removes the records of them.
    pub(crate) fn remove_range<E>(
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

    /// Checks all that [`remove_range`](Self::remove_range) can refuse for RAM. Returns how many more slots for resources
    /// the removal takes.
    pub(crate) fn check_removal<E>(
        &mut self,
        writer: &mut Writer<'_, M>,
        env: &E,
        frames: PfnRange,
    ) -> Result<usize, RemoveError>
    where
        M: RetireModel<E>,
    {
        let (bytes, blocks) = self.ram(frames)?;
        let retire = |why| RemoveError::Retire { frames, why };
        let _blocks = self.blocks.removal(blocks)?;
        let wanted = self.resources.releasing(bytes, ResourceKind::SystemRam)?.wanted();
        RetireError::check(self.model, frames).map_err(retire)?;
        writer.check_retire(env, frames).map_err(retire)?;
        Ok(wanted)
    }

    /// The blocks that are removed with a range: none for a device.
    fn blocks_of(&self, frames: PfnRange, kind: ResourceKind) -> BlockSpan {
        match self.ram(frames) {
            Ok((_, blocks)) if kind == ResourceKind::SystemRam => blocks,
            _ => BlockSpan::default(),
        }
    }
}
