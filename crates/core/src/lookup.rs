//! Why a frame has no descriptor.

use crate::{Pfn, SectionNr, SubsectionIdx};

/// The reason for which a lookup found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The frame lies beyond the last section of the geometry; also every number with garbage in its high bits.
    #[error("frame {pfn} is beyond the last possible frame {last}")]
    BeyondMaximum {
        /// The frame that was looked up.
        pfn: Pfn,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// Nothing is present in the frame's section.
    #[error("frame {pfn} lies in section {section}, which is absent")]
    AbsentSection {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
    },
    /// The section was reported at boot but has no memmap yet.
    #[error("frame {pfn} lies in section {section}, which has no memmap yet")]
    NoMemmap {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
    },
    /// The section has a memmap, but this part of it was never added.
    #[error("frame {pfn} lies in subsection {subsection} of section {section}, which is absent")]
    AbsentSubsection {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
        /// Its subsection.
        subsection: SubsectionIdx,
    },
}
