//! Memory of devices is added: in subsections, next to RAM and other devices, never online.

use sparsemem_core::{
    InstallError, InstallModel, MarkError, MarkModel, NodeId, PfnRange, RetireModel, Writer, reset,
    trace_event,
};

use crate::add::undo;
use crate::{Hotplug, Kind, Merge, Request, RequestError, Resource, ResourceError, ResourceKind, add};

/// Why a device's memory was not added. Everything is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddDeviceError {
    /// Somebody else writes to the model.
    #[error("cannot add {frames}: another operation of this model is running; try again when it has ended")]
    Busy {
        /// The range that was given.
        frames: PfnRange,
    },
    /// The range is not valid for a device.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The addresses are somebody's already.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The model would not take the memory.
    #[error("cannot add {frames}: {why}")]
    Install {
        /// The range that was given.
        frames: PfnRange,
        /// Which part of it, and why.
        why: InstallError,
    },
    /// The model would not mark a shared section.
    #[error("cannot add {frames}: a section that it shares cannot be marked: {why}")]
    Mark {
        /// The range that was given.
        frames: PfnRange,
        /// The model's reason.
        why: MarkError,
    },
}

impl<M: MarkModel> Hotplug<'_, M> {
    /// Adds the memory of a device: its frames have new descriptors, and are never online.
    ///
    /// A device in a hole of an early section gets the descriptors that boot made, reset (T-09): what was written to them
    /// before is gone. What it leaves in them stays until the next one is added, where Linux writes poison.
    ///
    /// A section in whose middle the device begins or ends is marked as shared (H-62). With an environment that has an
    /// altmap, the descriptors live in the device's own memory. Source: Linux `memremap_pages` (H-65). Differs from
    /// Linux: conflicts are looked for over the whole range, not at its two ends, and what fails leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`AddDeviceError`]; everything is as it was.
    pub fn add_device<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        name: &'static str,
    ) -> Result<(), AddDeviceError>
    where
        M: InstallModel<E> + RetireModel<E>,
    {
        let mut writer = self.model.write().ok_or(AddDeviceError::Busy { frames })?;
        let request = Request::new(frames, node, Kind::Device, &self.limits)?;
        let (range, kind, merge) = (request.bytes(), ResourceKind::Device, Merge::Separate);
        let resource = self.resources.vacancy(Resource { range, kind, name, merge })?;
        add(&mut writer, env, &request).map_err(|why| AddDeviceError::Install { frames, why })?;
        mark_shared(&mut writer, env, &request)?;
        resource.commit();
        // After what can fail: a hole's descriptors were there before, and what they hold is nobody's to lose.
        reset(self.model, frames);
        Ok(())
    }
}

/// Marks the sections that a request shares. A model that does not mark what was installed under its own writer gets it back.
fn mark_shared<M, E>(
    writer: &mut Writer<'_, M>,
    env: &mut E,
    request: &Request<M::Geometry>,
) -> Result<(), AddDeviceError>
where
    M: RetireModel<E> + MarkModel,
{
    request.shared_borders().try_for_each(|part| writer.taint(part.frames)).map_err(|why| {
        let lost = undo(writer, env, request.frames());
        if !lost.is_empty() {
            trace_event!(WARN, "undoing an addition{lost}");
        }
        AddDeviceError::Mark { frames: request.frames(), why }
    })
}
