//! Changing a model while it runs: subsections come and go, sections are marked online.
//!
//! This is the level below hotplug: one section at a time, no memory blocks, no notifiers, no resources.
//!
//! # Invariants
//!
//! 1. A call that fails leaves everything as it was: words, bits, usages, memmaps, page tables, roots, allocator.
//! 2. What readers may hold is given back only after a grace period.

use crate::{
    ForeignBlock, Geometry, GracePeriod, LinkRefused, MemoryModel, NodeId, OutOfMemory, Pfn, PfnRange,
    SectionLoss, SectionNr, SectionShape, SubsectionBits,
};

/// Why frames cannot be an argument of an operation on one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramesError {
    /// The range has no frames.
    #[error("{frames} has no frames")]
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
    #[error("{frames} ends beyond the last possible frame {last}")]
    BeyondMaximum {
        /// The range that was given.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
}

impl FramesError {
    /// Checks that `frames` are whole subsections of one section of the geometry, and returns the section and them.
    ///
    /// # Errors
    ///
    /// The first of the reasons, in the order of their declaration except that the maximum comes before the section.
    pub fn check<G: Geometry>(frames: PfnRange) -> Result<(SectionNr, SubsectionBits), Self> {
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
        let section = frames.start().section::<G>();
        let bits =
            SubsectionBits::touched::<G>(frames).map_err(|_| Self::CrossesSection { frames, section })?;
        Ok((section, bits))
    }
}

/// Why subsections could not be installed. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Another slow operation of this model is running.
    #[error("another operation of this model is running")]
    Busy,
    /// The frames are no subsections of one section.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames are there already.
    #[error("{frames} is populated already in subsections {populated:?} of section {section}")]
    Populated {
        /// The frames that were to be installed.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// Those of their subsections that are populated.
        populated: SubsectionBits,
    },
    /// The metadata of the section cannot be had.
    #[error("{frames} of section {section} cannot have metadata: {why}")]
    NoMetadata {
        /// The frames that were to be installed.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// What is missing.
        why: SectionLoss,
        /// A block that the environment would not take back while the failure was undone; it is lost.
        refused: Option<ForeignBlock>,
    },
}

/// Why subsections could not be retired. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// Another slow operation of this model is running.
    #[error("another operation of this model is running")]
    Busy,
    /// The frames are no subsections of one section.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames are not there.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// Those of their subsections that are absent.
        absent: SubsectionBits,
    },
    /// Some of the frames are online.
    #[error("{frames} is online in subsections {online:?} of section {section}; offline it first")]
    Online {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// Those of their subsections that are online.
        online: SubsectionBits,
    },
}

/// What became of a section's memmap when some of it was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that somebody should hear of"]
pub struct Retired {
    /// What is left of the section.
    pub left: Left,
    /// How many metadata blocks the environment refused; they are lost.
    pub refused: u64,
    /// The first of them.
    pub first_refused: Option<ForeignBlock>,
}

/// What is left of a section after a part of it was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Other subsections are still populated.
    Partial,
    /// Nothing: the section is absent, with all its metadata.
    Nothing,
}

/// Why frames could not be set online or offline, or marked as shared. They are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// Another slow operation of this model is running.
    #[error("another operation of this model is running")]
    Busy,
    /// The frames are no subsections of one section.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames are not there.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were to be marked.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// Those of their subsections that are absent.
        absent: SubsectionBits,
    },
    /// Some of the frames are marked so already.
    #[error("{frames} is so already in subsections {already:?} of section {section}")]
    Already {
        /// The frames that were to be marked.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// Those of their subsections that are marked so already.
        already: SubsectionBits,
    },
}

/// Subsections come, with memory and mappings from an environment `E`.
pub trait InstallModel<E>: MemoryModel {
    /// Makes `frames`, whole subsections of one section, valid.
    ///
    /// A hole of an early section gets its descriptors from the section's own memmap, without any allocation; they
    /// are as they were left. Descriptors of other sections are zeroed. The section is not online afterwards unless it
    /// was before.
    ///
    /// Source: Linux `sparse_add_section`, since 5.3.
    ///
    /// # Errors
    ///
    /// [`InstallError`], naming frames, section and cause; the model is as it was.
    fn install(&self, env: &mut E, frames: PfnRange, node: NodeId) -> Result<(), InstallError>;
}

/// Subsections that are there are marked: online, offline, shared with a device.
pub trait MarkModel: MemoryModel {
    /// Marks `frames`, populated subsections of one section, as online: lookups for online frames find them.
    ///
    /// Source: Linux `online_mem_sections`. Differs from Linux: the state is kept per subsection; the section's flag
    /// says whether any is online.
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause.
    fn set_online(&self, frames: PfnRange) -> Result<(), MarkError>;

    /// Marks `frames`, online subsections of one section, as offline.
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause.
    fn set_offline(&self, frames: PfnRange) -> Result<(), MarkError>;

    /// Marks the section of `frames` as shared with a device; the mark goes only with the section (H-62).
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; that the section is marked already is none.
    fn taint(&self, frames: PfnRange) -> Result<(), MarkError>;
}

/// Subsections go. Only for domains with a grace period: see [`Reclaim`](crate::Reclaim).
pub trait RetireModel<E>: MemoryModel<Reclaim: GracePeriod> {
    /// Makes `frames`, whole subsections of one section, invalid, waits for readers, and gives metadata back.
    ///
    /// An early section is valid as a whole, and keeps its memmap, until its last subsection goes: before that, nobody
    /// has to be waited for. Of others the memmap goes with the subsections, as far as no neighbour shares its memory.
    /// Deadlocks if the caller holds a guard of the domain.
    ///
    /// Source: Linux `sparse_remove_section`. Differs from Linux: the memmap outlives readers, usages and roots of
    /// boot are given back, and what was never there is an error.
    ///
    /// # Errors
    ///
    /// [`RetireError`], naming frames, section and cause; the model is as it was.
    fn retire(&self, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError>;
}

impl SectionLoss {
    /// The memory that was missing, if that is the cause.
    #[must_use]
    pub const fn out_of_memory(&self) -> Option<OutOfMemory> {
        match self {
            Self::Root(error) | Self::Usage(error) | Self::Memmap(error) => Some(*error),
            _ => None,
        }
    }

    /// The mapping that was refused, if that is the cause.
    #[must_use]
    pub const fn link_refused(&self) -> Option<LinkRefused> {
        match self {
            Self::Mapping(error) => Some(*error),
            _ => None,
        }
    }
}
