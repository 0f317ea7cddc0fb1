//! Memory of devices comes: in subsections, next to RAM and other devices, never online.

use sparsemem_core::{
    ForeignBlock, InstallModel, MarkError, MarkModel, MemoryModel, NodeId, PfnRange, RetireModel,
    SectionFlags, SectionNr, reset,
};

use crate::remove::{Loss, remove_frames};
use crate::{
    AddError, Hotplug, Kind, Merge, Part, Plan, PlanError, RemoveError, Removed, Resource, ResourceError,
    ResourceKind, Unfinished, add,
};

/// Why a device's memory was not added. Everything is as it was, except as [`AddDeviceError::Add`] and
/// [`AddDeviceError::Taint`] say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddDeviceError {
    /// An earlier operation has to be finished first.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The range is none that a device can have.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The addresses are somebody's already.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The model would not take the memory.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The model would not mark a shared section, because another operation came between.
    #[error(
        "cannot add {frames}: section {section} cannot be marked as shared: {why}; try again{}",
        Loss(*lost)
    )]
    Taint {
        /// The frames.
        frames: PfnRange,
        /// The section that was to be marked.
        section: SectionNr,
        /// The model's reason.
        why: MarkError,
        /// A section that keeps its new mark, which tells of a device that is not there and goes with its last part.
        tainted: Option<SectionNr>,
        /// What stopped the undoing; then the memory is still installed, and [`Hotplug::finish`] removes it.
        undo: Option<RemoveError>,
        /// How many metadata blocks the environment refused in the undoing; they are lost.
        lost: u64,
        /// The first of them.
        first: Option<ForeignBlock>,
    },
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// Adds the memory of a device: its frames have new descriptors, and are never online.
    ///
    /// A device in a hole of an early section gets the descriptors that boot made, reset (T-09): what was written to them
    /// before is gone. What it leaves in them stays until the next one comes, where Linux writes poison.
    ///
    /// A section in whose middle the device begins or ends is marked as shared (H-62). With an environment that has an
    /// altmap, the descriptors live in the device's own memory. Source: Linux `memremap_pages` (H-65). Differs from
    /// Linux: conflicts are looked for over the whole range, not at its two ends, and what fails leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`AddDeviceError`]. If the model was busy while a failure was undone, [`Hotplug::finish`] goes on.
    pub fn add_device<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        name: &'static str,
    ) -> Result<(), AddDeviceError>
    where
        M: InstallModel<E> + RetireModel<E> + MarkModel,
    {
        self.check_finished()?;
        let plan = Plan::new(frames, node, Kind::Device, &self.limits)?;
        let (range, kind, merge) = (plan.bytes(), ResourceKind::Device, Merge::Separate);
        let resource = self.resources.vacancy(Resource { range, kind, name, merge })?;
        add(self.model, env, &plan).inspect_err(|error| self.unfinished = Unfinished::of_addition(error))?;
        taint(self.model, env, &plan).inspect_err(|error| self.unfinished = left_by_taint(error))?;
        // After what can fail: a hole's descriptors were there before, and what they hold is nobody's to lose.
        reset(self.model, frames);
        resource.commit();
        Ok(())
    }
}

/// Marks the sections that a plan shares; if that fails, removes the plan's memory again.
fn taint<M, E>(model: &M, env: &mut E, plan: &Plan<M::Geometry>) -> Result<(), AddDeviceError>
where
    M: RetireModel<E> + MarkModel,
{
    let mut newly = None;
    for part in plan.shared_borders() {
        let fresh = !is_tainted(model, part.section);
        if let Err(why) = model.taint(part.frames) {
            return Err(undo_taint(model, env, plan, newly, part, why));
        }
        newly = newly.or(fresh.then_some(part.section));
    }
    Ok(())
}

/// Removes the memory of a plan, and makes the error.
fn undo_taint<M, E>(
    model: &M,
    env: &mut E,
    plan: &Plan<M::Geometry>,
    newly: Option<SectionNr>,
    failed: Part,
    why: MarkError,
) -> AddDeviceError
where
    M: RetireModel<E>,
{
    let (frames, section) = (plan.frames(), failed.section);
    let undone = remove_frames(model, env, frames);
    let Removed { refused: lost, first_refused: first, .. } = match undone {
        Ok(removed) | Err(RemoveError::Interrupted { removed, .. }) => removed,
        Err(RemoveError::Refused { .. }) => Removed::default(),
    };
    let tainted = newly.filter(|nr| is_tainted(model, *nr));
    AddDeviceError::Taint { frames, section, why, tainted, undo: undone.err(), lost, first }
}

fn is_tainted<M: MemoryModel>(model: &M, section: SectionNr) -> bool {
    model.section(section).flags.contains(SectionFlags::TAINT_ZONE_DEVICE)
}

/// What is left to retire after a taint that failed.
const fn left_by_taint(error: &AddDeviceError) -> Option<Unfinished> {
    match error {
        AddDeviceError::Taint { undo: Some(RemoveError::Refused { frames: left, .. }), .. }
        | AddDeviceError::Taint { undo: Some(RemoveError::Interrupted { rest: left, .. }), .. } => {
            Some(Unfinished::Addition { left: *left })
        }
        _ => None,
    }
}
