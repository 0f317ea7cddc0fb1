//! Subsections are added: one section at a time, all or nothing.
//!
//! # Invariants
//!
//! 1. Making the array is the only step that can fail, and it is the first that changes anything.

use core::ptr::NonNull;

use sparsemem_core::{
    FramesError, Geometry, InstallError, InstallModel, LostBlocks, MetadataMemory, NodeId, PageDescriptor,
    PfnRange, Reclaim, SectionFlags, SectionLoss, SubsectionBits, Writer, trace_event,
};

use crate::array::{Array, Section};
use crate::index::Extent;
use crate::{ArrayModel, FrameIndex};

impl<G, P, R, I, E> InstallModel<E> for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
    E: MetadataMemory,
{
    fn install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<(), InstallError> {
        let (section, bits) = FramesError::check::<G>(frames)?;
        let populated = populated_in(writer, frames, bits);
        if !populated.is_empty() {
            return Err(InstallError::Populated { frames, section, populated });
        }
        trace_event!(DEBUG, "installing {frames} in section {section}");
        let no_metadata =
            |why| InstallError::NoMetadata { frames, section, why, lost: LostBlocks::default() };
        let array = match Self::array_of(writer) {
            Some(array) => array,
            None => {
                let array = first_array(writer, env, frames, node).map_err(no_metadata)?;
                writer.model().publish(array)
            }
        };
        let record = array.section(section).ok_or_else(|| array.extent.refusal::<G>(section));
        populate(array, record.map_err(no_metadata)?, frames, bits);
        Ok(())
    }
}

/// The subsections of `frames`, of one section, that are populated.
fn populated_in<G, P, R, I>(
    writer: &Writer<'_, ArrayModel<G, P, R, I>>,
    frames: PfnRange,
    bits: SubsectionBits,
) -> SubsectionBits
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
{
    let section = ArrayModel::array_of(writer).and_then(|array| array.find(frames.start()));
    let present = section.filter(|(section, _)| !section.flags().is_empty());
    present.map_or(SubsectionBits::EMPTY, |(section, _)| section.usage.snapshot().intersection(bits))
}

/// The array of a model that has none: for the reserve and the section of `frames`.
fn first_array<G, P, R, I, E>(
    writer: &Writer<'_, ArrayModel<G, P, R, I>>,
    env: &mut E,
    frames: PfnRange,
    node: NodeId,
) -> Result<NonNull<Array<G, P, I>>, SectionLoss>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
    E: MetadataMemory,
{
    let ranges = [writer.model().reserved(), frames].into_iter();
    let extent = Extent::of::<G>(ranges)?;
    Array::allocate(env, extent, node).map_err(|why| SectionLoss::Array { frames: extent.frames, why })
}

/// Makes absent subsections of a section valid.
fn populate<G: Geometry, P: PageDescriptor, I: FrameIndex>(
    array: &Array<G, P, I>,
    section: &Section<G>,
    frames: PfnRange,
    bits: SubsectionBits,
) {
    let flags = section.flags();
    if !flags.contains(SectionFlags::EARLY) {
        // SAFETY: the frames are absent, in a section that is valid only where it is populated; whoever retired them
        // waited for readers.
        unsafe { array.clear(frames) };
    }
    section.usage.insert(bits);
    if flags.is_empty() {
        section.set_flags(SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP);
    }
}
