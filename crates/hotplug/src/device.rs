//! Adds the memory of devices: in subsections, next to RAM and other devices, never online.

use sparsemem_core::{
    InstallError, InstallModel, MarkError, MarkModel, NodeId, PfnRange, ReadOnlyTails, RetireModel, Writer,
    reset, trace_event,
};

use crate::add::undo;
use crate::{Hotplug, MemoryKind, Merge, Request, RequestError, Resource, ResourceError, ResourceKind, add};

/// The reason why a device's memory was not added. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddDeviceError {
    /// Another writer has the model.
    #[error("cannot add {frames}: another operation of this model is running; try again when it has ended")]
    Busy {
        /// The range that was given.
        frames: PfnRange,
    },
    /// The range is not valid for a device.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A resource has some of the addresses already.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The model does not take the memory.
    #[error("cannot add {frames}: {why}")]
    Install {
        /// The range that was given.
        frames: PfnRange,
        /// The part that failed, and the reason.
        why: InstallError,
    },
    /// The model does not mark a section that the device shares.
    #[error("cannot add {frames}: a section that it shares cannot be marked: {why}")]
    Mark {
        /// The range that was given.
        frames: PfnRange,
        /// The model's reason.
        why: MarkError,
    },
}

impl<M: MarkModel> Hotplug<'_, M> {
    /// Adds the memory of a device: its frames get new descriptors, and are never online.
    ///
    /// A device in a hole of an early section gets the descriptors that boot made (T-09). They are reset, so earlier
    /// contents are gone. When the device is removed, its descriptors keep their contents until the next device is
    /// added; Linux writes poison instead.
    ///
    /// If the device begins or ends inside a section, that section is marked as shared (H-62). With an environment
    /// that has an altmap, the descriptors lie in the device's own memory. Source: Linux `memremap_pages` (H-65).
    /// Differs from Linux: the whole range is checked for conflicts, not only its two ends, and a failed call changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`AddDeviceError`]; nothing has changed then.
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
        let request = Request::new(frames, node, MemoryKind::Device, &self.limits)?;
        self.add_device_as(env, &request, name)
    }

    /// The same for a device whose memory is used as large pages, compounds of one order: all but the first
    /// descriptors of each share a page that may only be read
    /// ([`MemoryModel::folded`](sparsemem_core::MemoryModel::folded)), where the model can do that. In sections of
    /// boot every frame keeps its own.
    ///
    /// With an altmap it has the heads' descriptors, and room that is not used.
    ///
    /// Source: Linux `memremap_pages` with `vmemmap_shift` (V-60, V-61).
    ///
    /// # Errors
    ///
    /// [`AddDeviceError`]; nothing has changed then. A model that cannot fold refuses with
    /// [`SectionLoss::Unfoldable`](sparsemem_core::SectionLoss::Unfoldable).
    pub fn add_device_in_compounds<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        name: &'static str,
        tails: ReadOnlyTails,
    ) -> Result<(), AddDeviceError>
    where
        M: InstallModel<E> + RetireModel<E>,
    {
        let request = Request::new(frames, node, MemoryKind::Device, &self.limits)?;
        self.add_device_as(env, &request.in_compounds(tails)?, name)
    }

    /// Adds the memory of a device.
    fn add_device_as<E>(
        &mut self,
        env: &mut E,
        request: &Request<M::Geometry>,
        name: &'static str,
    ) -> Result<(), AddDeviceError>
    where
        M: InstallModel<E> + RetireModel<E>,
    {
        let frames = request.frames();
        let mut writer = self.model.write().ok_or(AddDeviceError::Busy { frames })?;
        let (range, kind, merge) = (request.bytes(), ResourceKind::Device, Merge::Separate);
        let resource = self.resources.vacancy(Resource { range, kind, name, merge })?;
        add(&mut writer, env, request).map_err(|why| AddDeviceError::Install { frames, why })?;
        mark_shared(&mut writer, env, request)?;
        resource.commit();
        // The reset comes after every step that can fail, because it destroys the contents of a hole's descriptors,
        // which existed before.
        reset(self.model, frames);
        Ok(())
    }
}

/// Marks the sections that a request shares. If the model refuses, the memory that was installed under the same
/// writer is retired again.
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
