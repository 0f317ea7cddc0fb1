//! Removal: subsections of any number of sections, after a wait for readers; and the model as a whole.
//!
//! # Invariants
//!
//! 1. Whenever frames stop being valid, the writer waits for readers before it returns: the next installation zeroes
//!    their descriptors.

use sparsemem_core::{
    Geometry, GracePeriod, LostBlocks, MetadataMemory, PageDescriptor, PfnRange, Reclaim, RetireError,
    RetireModel, Retired, SectionFlags, SectionNr, SectionPart, TearDownError, Unpublished, Writer,
    trace_event,
};

use crate::array::{Array, Section};
use crate::{ArrayModel, FrameIndex};

impl<G, P, R, I, E> RetireModel<E> for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: GracePeriod,
    I: FrameIndex,
    E: MetadataMemory,
{
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        RetireError::check(writer.model(), frames)?;
        // Before anything changes: a listener may unwind.
        trace_event!(DEBUG, "retiring {frames}");
        Ok(retire_checked(writer, env, frames))
    }

    fn undo_install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
    ) -> Result<Retired, RetireError> {
        // An installation made no memory but the first array, which goes with its last section: retiring is an undo.
        RetireError::check(writer.model(), frames)?;
        let retired = retire_checked(writer, env, frames);
        // After everything: a listener may unwind, and must not refuse an undoing.
        trace_event!(DEBUG, "undid the installation of {frames}");
        Ok(retired)
    }
}

/// Retires subsections that are all populated and offline.
fn retire_checked<G, P, R, I, E>(
    writer: &mut Writer<'_, ArrayModel<G, P, R, I>>,
    env: &mut E,
    frames: PfnRange,
) -> Retired
where
    G: Geometry,
    P: PageDescriptor,
    R: GracePeriod,
    I: FrameIndex,
    E: MetadataMemory,
{
    let mut retired = Retired::default();
    let Some(array) = ArrayModel::array_of(writer) else { return retired };
    let mut readers = Readers::MayStay;
    for part in SectionPart::of::<G>(frames) {
        if let Some(section) = array.section(part.section) {
            unpublish(section, part, &mut retired, &mut readers);
        }
    }
    let is_empty = array.next_present(SectionNr::new(0)).is_none();
    let array = if is_empty { writer.model().unpublish() } else { None };
    if matches!(readers, Readers::HaveToLeave) {
        let array = Unpublished::<R, _>::new(array).after_grace();
        if let Some(array) = array {
            // SAFETY: no new reader found it since it was taken away, and a grace period has passed.
            unsafe { Array::give_back(array, env, &mut retired.lost) };
        }
    }
    retired
}

/// The readers that found a frame before it was retired: a writer waits for them, or need not.
enum Readers {
    MayStay,
    HaveToLeave,
}

/// Makes the subsections of a part absent.
fn unpublish<G: Geometry>(
    section: &Section<G>,
    part: SectionPart,
    retired: &mut Retired,
    readers: &mut Readers,
) {
    retired.sections += 1;
    if section.usage.contains_others(&part.bits) {
        // An early section is valid as a whole: its readers may go on.
        if !section.flags().contains(SectionFlags::EARLY) {
            *readers = Readers::HaveToLeave;
        }
    } else {
        retired.gone += 1;
        *readers = Readers::HaveToLeave;
        section.set_flags(SectionFlags::empty());
    }
    section.usage.remove(part.bits);
}

/// Gives the array back, without waiting: no other code shares the model.
pub(crate) fn tear_down<G, P, R, I, E>(
    model: &mut ArrayModel<G, P, R, I>,
    env: &mut E,
) -> Result<(), TearDownError>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
    E: MetadataMemory,
{
    model.forget_writers();
    let Some(array) = model.unpublish() else { return Ok(()) };
    // SAFETY: the head is live until the block is given back.
    let section = unsafe { array.as_ref() }.extent.frames.start().section::<G>();
    let mut lost = LostBlocks::default();
    // SAFETY: `&mut` of the model: no reader is left, and the model does not lead to it any more.
    unsafe { Array::give_back(array, env, &mut lost) };
    if lost.is_empty() { Ok(()) } else { Err(TearDownError::Lost { lost, section }) }
}
