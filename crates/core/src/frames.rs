//! Frames as an argument of operations on subsections: checked, and split at section borders.
//!
//! # Invariants
//!
//! 1. Frames that pass a check are whole subsections of the geometry.

use crate::{Geometry, Pfn, PfnRange, SectionNr, SectionShape, SubsectionBits};

/// The reason why frames cannot be an argument of an operation on subsections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramesError {
    /// The range has no frames.
    #[error("{frames} has no frames; give a range that is not empty")]
    Empty {
        /// The range that was given.
        frames: PfnRange,
    },
    /// A border of the range is not the border of a subsection.
    #[error("{frames} does not begin and end on subsection borders, multiples of {granule:#x} frames")]
    Unaligned {
        /// The range that was given.
        frames: PfnRange,
        /// Frames of a subsection.
        granule: u64,
    },
    /// The range reaches into a second section.
    #[error("{frames} reaches beyond section {section}; split it at section borders")]
    CrossesSection {
        /// The range that was given.
        frames: PfnRange,
        /// The section that it starts in.
        section: SectionNr,
    },
    /// The range ends beyond the geometry's maximum.
    #[error("{frames} ends beyond the last possible frame {last}; cut it off there")]
    BeyondMaximum {
        /// The range that was given.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
}

impl FramesError {
    /// Checks that `frames` are whole subsections of one section of the geometry, and returns the section and the
    /// subsections.
    ///
    /// # Errors
    ///
    /// The first of the reasons, in the order of their declaration except that the maximum is checked before the
    /// section.
    pub fn check<G: Geometry>(frames: PfnRange) -> Result<(SectionNr, SubsectionBits), Self> {
        Self::check_subsections::<G>(frames)?;
        let section = frames.start().section::<G>();
        let bits =
            SubsectionBits::touched::<G>(frames).map_err(|_| Self::CrossesSection { frames, section })?;
        Ok((section, bits))
    }

    /// Checks that `frames` are whole subsections of any number of sections of the geometry.
    ///
    /// # Errors
    ///
    /// The first of [`FramesError::Empty`], [`FramesError::Unaligned`] and [`FramesError::BeyondMaximum`].
    pub fn check_subsections<G: Geometry>(frames: PfnRange) -> Result<(), Self> {
        if frames.is_empty() {
            return Err(Self::Empty { frames });
        }
        let granule = G::PAGES_PER_SUBSECTION;
        if (frames.start().get() | frames.end().get()) & (granule - 1) != 0 {
            return Err(Self::Unaligned { frames, granule });
        }
        if frames.end().get() > G::MAX_PFN {
            return Err(Self::BeyondMaximum { frames, last: Pfn::new(G::MAX_PFN - 1) });
        }
        Ok(())
    }
}

/// A part of a range that lies in one section, with its subsections there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionPart {
    /// The section.
    pub section: SectionNr,
    /// The frames in it.
    pub frames: PfnRange,
    /// Their subsections.
    pub bits: SubsectionBits,
}

impl SectionPart {
    /// The part in the first section of `frames`, whole subsections, and the rest.
    #[must_use]
    pub fn first_of<G: Geometry>(frames: PfnRange) -> (Self, PfnRange) {
        let section = frames.start().section::<G>();
        let end = section.next().first_pfn::<G>().unwrap_or(frames.end());
        let (frames, rest) = frames.split_at(end);
        let bits = SubsectionBits::touched::<G>(frames).unwrap_or_default();
        (Self { section, frames, bits }, rest)
    }

    /// The parts of `frames`, whole subsections, lowest first.
    pub fn of<G: Geometry>(frames: PfnRange) -> impl Iterator<Item = Self> + Clone {
        frames.by_section::<G>().map(|(section, frames)| {
            // A part is not empty and lies in one section: there is always a set.
            let bits = SubsectionBits::touched::<G>(frames).unwrap_or_default();
            Self { section, frames, bits }
        })
    }
}
