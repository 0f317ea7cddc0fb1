//! Broken variants of this kernel, which the stories of several processors, or of a virtio-mem device, have to notice: the
//! host expects each of these to fail.

use super::Ended;
use super::checks::StoryError;
use super::system::System;
use super::{several, virtio_mem};
use crate::arch::processors as own;
use crate::defect::Defect;

/// Readers are not waited for.
pub(super) fn no_grace_period(system: &mut System<'_>) -> Result<Ended, StoryError> {
    with(Defect::NoGracePeriod, system)
}

/// Other processors keep their translations.
pub(super) fn no_flush(system: &mut System<'_>) -> Result<Ended, StoryError> {
    with(Defect::NoFlush, system)
}

/// Other processors are asked to flush, and not waited for.
pub(super) fn flush_unacknowledged(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if let Some(why) = own::WAITS_UNNOTICED {
        return Ok(Ended::Skipped(why));
    }
    with(Defect::FlushUnacknowledged, system)
}

/// Memory is given back before the processors forget that they had it.
pub(super) fn freed_before_flush(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if crate::model::array().is_none() {
        return Ok(Ended::NotApplicable("the model has no mappings of its own, so it flushes nothing"));
    }
    with(Defect::FreedBeforeFlush, system)
}

/// The page allocator gets memory of a virtio-mem device that the direct map does not reach.
pub(super) fn unreached_memory(system: &mut System<'_>) -> Result<Ended, StoryError> {
    with(Defect::UnreachedMemory, system)
}

/// Memory in use goes back to a virtio-mem device.
pub(super) fn used_memory_goes(system: &mut System<'_>) -> Result<Ended, StoryError> {
    with(Defect::UsedMemoryGoes, system)
}

/// Tells the story that has to notice a defect.
fn with(defect: Defect, system: &mut System<'_>) -> Result<Ended, StoryError> {
    defect.switch_on();
    match defect {
        Defect::UnreachedMemory => virtio_mem::out_of_memory(system),
        Defect::UsedMemoryGoes => virtio_mem::refused(system),
        _ => several::readers(system),
    }
}
