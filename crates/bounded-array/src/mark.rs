//! Marks on populated subsections: online, offline, shared with a device.
//!
//! # Invariants
//!
//! 1. Only populated subsections are online.
//! 2. A section has the flag `ONLINE` exactly while one of its subsections is online. Going online sets the bit before
//!    the flag, going offline clears it after.

use sparsemem_core::{
    Geometry, Mark, MarkError, MarkModel, PageDescriptor, PfnRange, Reclaim, SectionFlags, SectionPart,
    SubsectionBits, Writer,
};

use crate::array::Section;
use crate::{ArrayModel, FrameIndex};

impl<G, P, R, I> MarkModel for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
{
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        mark(writer, frames, Mark::Online)
    }

    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        mark(writer, frames, Mark::Offline)
    }

    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        mark(writer, frames, Mark::Shared)
    }
}

/// Marks populated subsections: all of them, or none.
fn mark<G, P, R, I>(
    writer: &Writer<'_, ArrayModel<G, P, R, I>>,
    frames: PfnRange,
    mark: Mark,
) -> Result<(), MarkError>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
{
    MarkError::check(writer.model(), frames, mark)?;
    let array = ArrayModel::array_of(writer);
    for part in SectionPart::of::<G>(frames) {
        let Some(section) = array.and_then(|array| array.section(part.section)) else { continue };
        match mark {
            Mark::Online => set_online(section, part.bits),
            Mark::Offline => set_offline(section, part.bits),
            Mark::Shared => section.set_flags(section.flags() | SectionFlags::TAINT_ZONE_DEVICE),
        }
    }
    Ok(())
}

/// Sets online bits, then the flag.
fn set_online<G: Geometry>(section: &Section<G>, bits: SubsectionBits) {
    section.usage.insert_online(bits);
    section.set_flags(section.flags() | SectionFlags::ONLINE);
}

/// Clears the flag if no other subsection is online, then the bits.
fn set_offline<G: Geometry>(section: &Section<G>, bits: SubsectionBits) {
    if bits.contains_all(section.usage.online()) {
        section.set_flags(section.flags() - SectionFlags::ONLINE);
    }
    section.usage.remove_online(bits);
}
