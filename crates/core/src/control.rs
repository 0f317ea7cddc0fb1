//! Changing a model while it runs: subsections are installed and retired, and marked online.
//!
//! This is the level below hotplug: no memory blocks, no notifiers, no resources. Every operation takes the model's
//! [`Writer`] and is usually called through it: `model.write()?.install(..)`.
//!
//! # Invariants
//!
//! 1. A call that fails leaves everything as it was: words, bits, usages, memmaps, page tables, roots, allocator.
//! 2. What readers may hold is given back only after a grace period.
//! 3. An operation that is not refused for its arguments fails for want of memory only, and only [`InstallModel`] takes
//!    memory. So whoever holds the writer can retire what it installed, and mark back what it marked.

use crate::{
    BootModel, FramesError, GracePeriod, LinkRefused, LostBlocks, MemoryModel, NodeId, OtherAddressSpace,
    OutOfMemory, PfnRange, SectionLoss, SectionNr, SectionPart, SubsectionBits, Writer,
};

/// Why subsections could not be installed. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
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
    #[error("{frames} of section {section} cannot have metadata: {why}{lost}")]
    NoMetadata {
        /// The frames that were to be installed.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// What is missing.
        why: SectionLoss,
        /// Blocks that the environment would not take back while the failure was undone.
        lost: LostBlocks,
    },
}

/// Why subsections could not be retired. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// The frames are not whole subsections of the geometry.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames are not there.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were to be retired, as far as they lie in the section.
        frames: PfnRange,
        /// The first section that stands in the way.
        section: SectionNr,
        /// Those of their subsections that are absent.
        absent: SubsectionBits,
    },
    /// Some of the frames are online.
    #[error("{frames} is online in subsections {online:?} of section {section}; offline it first")]
    Online {
        /// The frames that were to be retired, as far as they lie in the section.
        frames: PfnRange,
        /// The first section that stands in the way.
        section: SectionNr,
        /// Those of their subsections that are online.
        online: SubsectionBits,
    },
    /// The memory of the frames holds descriptors of others, which stay: theirs would be gone. Looked for wherever the
    /// environment said that it took the memory of a memmap from an altmap ([`Origin::Altmap`](crate::Origin::Altmap)).
    #[error(
        "{frames} holds the descriptors of {needed_by}, which stays; remove that first, or both together"
    )]
    HoldsMemmap {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// Valid frames outside them whose descriptors lie in their memory.
        needed_by: PfnRange,
    },
    /// The frames are not what was installed last, so that undoing them would be more than undoing.
    #[error(
        "{frames} is not what was installed last; undo the end of {installed}, from where an installation began, or retire the \
         frames"
    )]
    NotInstalled {
        /// The frames whose installation was to be undone.
        frames: PfnRange,
        /// Those that were installed last, one section after the other.
        installed: PfnRange,
    },
    /// The environment has other page tables than the model.
    #[error("cannot retire {frames}: {why}")]
    OtherAddressSpace {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// Which ones.
        why: OtherAddressSpace,
    },
}

impl RetireError {
    /// Checks that every frame of `frames` is populated and none is online, as far as `model` tells: what
    /// [`RetireModel::retire`] refuses before it changes anything, for callers who have to know beforehand.
    ///
    /// # Errors
    ///
    /// [`RetireError::Frames`], [`RetireError::Absent`], [`RetireError::Online`].
    pub fn check<M: MemoryModel>(model: &M, frames: PfnRange) -> Result<(), Self> {
        FramesError::check_subsections::<M::Geometry>(frames)?;
        SectionPart::of::<M::Geometry>(frames).try_for_each(|part| {
            let state = model.section(part.section);
            Self::check_part(part, state.subsections, state.online)
        })
    }

    /// The same for one part, in a section with these populated and these online subsections.
    ///
    /// # Errors
    ///
    /// [`RetireError::Absent`], [`RetireError::Online`].
    pub fn check_part(
        part: SectionPart,
        populated: SubsectionBits,
        online: SubsectionBits,
    ) -> Result<(), Self> {
        let SectionPart { section, frames, bits } = part;
        let (absent, online) = (bits.difference(populated), bits.intersection(online));
        if !absent.is_empty() {
            return Err(Self::Absent { frames, section, absent });
        }
        if !online.is_empty() {
            return Err(Self::Online { frames, section, online });
        }
        Ok(())
    }
}

/// What a retirement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that somebody should hear of"]
pub struct Retired {
    /// Sections that lost subsections.
    pub sections: u64,
    /// Those of them that are absent now, with all their metadata; the others have subsections left.
    pub gone: u64,
    /// Metadata blocks that the environment would not take back.
    pub lost: LostBlocks,
}

/// Why frames could not be set online or offline, or marked as shared. They are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// The frames are not whole subsections of the geometry.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames are not there.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were to be marked, as far as they lie in the section.
        frames: PfnRange,
        /// The first section that stands in the way.
        section: SectionNr,
        /// Those of their subsections that are absent.
        absent: SubsectionBits,
    },
    /// Some of the frames are marked so already.
    #[error("{frames} is so already in subsections {already:?} of section {section}")]
    Already {
        /// The frames that were to be marked, as far as they lie in the section.
        frames: PfnRange,
        /// The first section that stands in the way.
        section: SectionNr,
        /// Those of their subsections that are marked so already.
        already: SubsectionBits,
    },
}

/// How frames can be marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// RAM that the page allocator has.
    Online,
    /// Not in use by the page allocator.
    Offline,
    /// In a section that a device shares.
    Shared,
}

impl MarkError {
    /// Checks that every frame of `frames` is populated and lacks the mark, as far as `model` tells: what [`MarkModel`]
    /// refuses before it changes anything, for callers who have to know beforehand.
    ///
    /// # Errors
    ///
    /// [`MarkError`].
    pub fn check<M: MemoryModel>(model: &M, frames: PfnRange, mark: Mark) -> Result<(), Self> {
        FramesError::check_subsections::<M::Geometry>(frames)?;
        SectionPart::of::<M::Geometry>(frames).try_for_each(|part| {
            let state = model.section(part.section);
            Self::check_part(part, mark, state.subsections, state.online)
        })
    }

    /// The same for one part, in a section with these populated and these online subsections.
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

/// Adds subsections to a model, with memory and mappings from an environment `E`.
pub trait InstallModel<E>: MemoryModel {
    /// Makes `frames`, whole subsections of one section, valid.
    ///
    /// A hole of an early section gets its descriptors from the section's own memmap, without any allocation; they
    /// are as they were left. Descriptors of other sections are zeroed. The section is not online afterwards unless it
    /// was before. One section at a time, where [`RetireModel::retire`] takes any number: undoing an installation that
    /// fails in a later section means waiting for readers, which a domain without grace periods cannot.
    ///
    /// Source: Linux `sparse_add_section`, since 5.3.
    ///
    /// # Errors
    ///
    /// [`InstallError`], naming frames, section and cause; the model is as it was.
    fn install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<(), InstallError>
    where
        Self: Sized;
}

/// Marks populated subsections: online, offline, shared with a device. All of a range or none of it.
pub trait MarkModel: MemoryModel {
    /// Marks `frames`, populated subsections of any number of sections, as online: lookups for online frames find them.
    ///
    /// Source: Linux `online_mem_sections` (O-90). Differs from Linux: the state is kept per subsection; the section's flag
    /// says whether any is online.
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

/// Takes subsections away. Only for domains with a grace period: see [`Reclaim`](crate::Reclaim).
pub trait RetireModel<E>: MemoryModel<Reclaim: GracePeriod> {
    /// Makes `frames`, whole subsections of any number of sections, invalid, waits for readers once, and gives metadata
    /// back.
    ///
    /// An early section is valid as a whole, and keeps its memmap, until its last subsection is retired: before that,
    /// nobody has to be waited for. Of others the memmap goes with the subsections, as far as no neighbour shares its
    /// memory. Deadlocks if the caller holds a guard of the domain.
    ///
    /// Source: Linux `sparse_remove_section`. Differs from Linux: the memmap outlives readers, usages and roots of
    /// boot are given back, and what was never there is an error before the first change, where Linux warns after some
    /// sections have gone (H-04).
    ///
    /// # Errors
    ///
    /// [`RetireError`], naming frames, section and cause; the model is as it was.
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError>
    where
        Self: Sized;

    /// Retires frames that were installed last, section after section: the undoing of an operation that fails later.
    ///
    /// Whose descriptors lie in the memory of the frames is not asked: they lay there before the frames were installed, too.
    /// That is so because nothing else was installed since, and because whole installations are undone: `frames` begin where
    /// one of them began, and end where the last one ended. The default is [`RetireModel::retire`], for models that never
    /// refuse for that reason.
    ///
    /// # Errors
    ///
    /// As [`RetireModel::retire`], but [`RetireError::NotInstalled`] instead of [`RetireError::HoldsMemmap`].
    fn undo_install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
    ) -> Result<Retired, RetireError>
    where
        Self: Sized,
    {
        Self::retire(writer, env, frames)
    }
}

/// Everything that a model does with an environment `E`, in one bound; every model that does it has this trait.
pub trait CompleteModel<E>: BootModel<E> + InstallModel<E> + RetireModel<E> + MarkModel {}

impl<M, E> CompleteModel<E> for M where M: BootModel<E> + InstallModel<E> + RetireModel<E> + MarkModel {}

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
