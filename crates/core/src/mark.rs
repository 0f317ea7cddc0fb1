//! Marks of populated subsections: online, offline, shared with a device.
//!
//! # Invariants
//!
//! 1. A call that fails leaves every mark as it was.
//! 2. A mark takes no memory, so it can always be reversed.

use crate::{FramesError, MemoryModel, NoMemmap, PfnRange, SectionNr, SectionPart, SubsectionBits, Writer};

/// The reason why frames could not be marked online, offline, or as shared. Their marks are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// The frames are not whole subsections of the geometry.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames lie in a section without memmap.
    #[error(transparent)]
    NoMemmap(#[from] NoMemmap),
    /// Some of the frames are not populated.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were to be marked, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with absent subsections.
        section: SectionNr,
        /// The subsections of `frames` that are absent.
        absent: SubsectionBits,
    },
    /// Some of the frames have the mark already.
    #[error(
        "{frames} has this mark already in subsections {already:?} of section {section}; mark only the others"
    )]
    Already {
        /// The frames that were to be marked, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with subsections that have the mark.
        section: SectionNr,
        /// The subsections of `frames` that have the mark already.
        already: SubsectionBits,
    },
}

/// The marks that frames can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Memory that the page allocator has.
    Online,
    /// Memory that the page allocator does not have.
    Offline,
    /// Memory in a section that a device shares.
    Shared,
}

impl MarkError {
    /// Checks that every frame of `frames` is populated and lacks the mark, as far as `model` reports: the cases that
    /// [`MarkModel`] refuses before it changes anything, for callers that have to know in advance.
    ///
    /// # Errors
    ///
    /// [`MarkError`].
    pub fn check<M: MemoryModel>(model: &M, frames: PfnRange, mark: Mark) -> Result<(), Self> {
        FramesError::check_subsections::<M::Geometry>(frames)?;
        SectionPart::of::<M::Geometry>(frames).try_for_each(|part| {
            let state = model.section(part.section);
            NoMemmap::check(part, &state)?;
            Self::check_part(part, mark, state.subsections, state.online)
        })
    }

    /// The same check for one part, in a section with these populated and these online subsections.
    ///
    /// # Errors
    ///
    /// [`MarkError::Absent`], [`MarkError::Already`].
    pub fn check_part(
        part: SectionPart,
        mark: Mark,
        populated: SubsectionBits,
        online: SubsectionBits,
    ) -> Result<(), Self> {
        let SectionPart { section, frames, bits } = part;
        let absent = bits.difference(populated);
        if !absent.is_empty() {
            return Err(Self::Absent { frames, section, absent });
        }
        let already = match mark {
            Mark::Online => bits.intersection(online),
            Mark::Offline => bits.difference(online),
            Mark::Shared => SubsectionBits::EMPTY,
        };
        if already.is_empty() { Ok(()) } else { Err(Self::Already { frames, section, already }) }
    }
}

/// Marks populated subsections: online, offline, shared with a device. An operation marks all of a range or none of it.
pub trait MarkModel: MemoryModel {
    /// Marks `frames`, populated subsections of any number of sections, as online: lookups for online frames find them.
    ///
    /// Source: Linux `online_mem_sections` (O-90). Differs from Linux: the state is kept per subsection; the section's
    /// flag is set if any subsection is online.
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; no mark has changed.
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError>
    where
        Self: Sized;

    /// Marks `frames`, online subsections of any number of sections, as offline.
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; no mark has changed.
    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError>
    where
        Self: Sized;

    /// Marks the sections of `frames` as shared with a device. The mark stays until the section is absent (H-62).
    /// Marking a section twice is not an error.
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; no mark has changed.
    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError>
    where
        Self: Sized;
}
