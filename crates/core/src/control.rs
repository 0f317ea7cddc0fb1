//! Changing a model while it runs: subsections are installed and retired. `mark` beside this marks them online.
//!
//! These operations have no memory blocks, no notifiers and no resources; hotplug adds them. Every operation takes the
//! model's [`Writer`] and is usually called through it: `model.write()?.install(..)`.
//!
//! # Invariants
//!
//! 1. A call that fails leaves everything as it was: words, bits, usages, memmaps, page tables, roots, allocator.
//! 2. Memory that readers may still use is given back only after a grace period.
//! 3. An operation whose arguments are valid can fail only for lack of memory, and only [`InstallModel`] takes memory, and
//!    folding.
//!    So the holder of the writer can always retire the frames that it installed, and reverse the marks that it made. Only
//!    [`RetireModel::fold`] takes this away, for frames in a section of boot, until they are unfolded.

use crate::{
    BootModel, FoldError, FramesError, GracePeriod, LostBlocks, MarkModel, MemoryModel, NoMemmap, NodeId,
    OtherAddressSpace, PfnRange, PhysRange, QuietDescriptors, ReadOnlyTails, RefoldError, Refolded,
    SectionLoss, SectionNr, SectionPart, SubsectionBits, Writer,
};

/// The reason why subsections could not be installed. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The frames are not whole subsections of one section.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames are populated already.
    #[error("{frames} is populated already in subsections {populated:?} of section {section}")]
    Populated {
        /// The frames that were to be installed.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// The subsections of `frames` that are populated.
        populated: SubsectionBits,
    },
    /// Some of the frames lie in a section without memmap.
    #[error(transparent)]
    NoMemmap(#[from] NoMemmap),
    /// The metadata of the section cannot be made.
    #[error("section {section} cannot get metadata for frames {frames}: {why}{lost}")]
    NoMetadata {
        /// The frames that were to be installed.
        frames: PfnRange,
        /// Their section.
        section: SectionNr,
        /// The reason.
        why: SectionLoss,
        /// Blocks that the environment refused while the model undid the failure.
        lost: LostBlocks,
    },
}

/// The reason why subsections could not be retired. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// The frames are not whole subsections of the geometry.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames lie in a section without memmap.
    #[error(transparent)]
    NoMemmap(#[from] NoMemmap),
    /// Some of the frames are not populated.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were to be retired, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with absent subsections.
        section: SectionNr,
        /// The subsections of `frames` that are absent.
        absent: SubsectionBits,
    },
    /// Some of the frames are online.
    #[error("{frames} is online in subsections {online:?} of section {section}; offline it first")]
    Online {
        /// The frames that were to be retired, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with online subsections.
        section: SectionNr,
        /// The subsections of `frames` that are online.
        online: SubsectionBits,
    },
    /// Some of the frames are folded, in a section of boot that stays: so would their descriptors, which nobody could write.
    #[error(
        "{frames} is folded in subsections {folded:?} of section {section}, which stays; unfold it first"
    )]
    Folded {
        /// The frames that were to be retired, as far as they lie in the section.
        frames: PfnRange,
        /// The section.
        section: SectionNr,
        /// The subsections of `frames` that are folded.
        folded: SubsectionBits,
    },
    /// The memory of the frames holds descriptors of other frames, which stay valid: they would lose their descriptors.
    /// The model checks this wherever the environment took the memory of a memmap from an altmap
    /// ([`Origin::Altmap`](crate::Origin::Altmap)).
    #[error(
        "{frames} holds the descriptors of {needed_by}, which stays; remove {needed_by} first, or both together"
    )]
    HoldsMemmap {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// Valid frames outside them whose descriptors lie in their memory.
        needed_by: PfnRange,
    },
    /// Descriptors of the frames lie in an altmap that the environment does not have, so it would not take their memory
    /// back ([`MetadataMemory::has_altmap`](crate::MetadataMemory::has_altmap)).
    #[error(
        "the descriptors of {frames} lie in the altmap memory {memory}, which this environment does not have; remove {frames} \
         through an environment with the altmap that they were added with"
    )]
    OtherAltmap {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// The memory of the altmap that holds descriptors of theirs.
        memory: PhysRange,
    },
    /// The frames are not the last installations of the model, so removing them would be more than an undo.
    #[error(
        "{frames} is not what was installed last; undo the end of {installed}, from where an installation began, or retire the \
         frames"
    )]
    NotInstalled {
        /// The frames whose installation was to be undone.
        frames: PfnRange,
        /// The frames of the last installations, one section after the other.
        installed: PfnRange,
    },
    /// The environment has other page tables than the model.
    #[error("frames {frames} cannot be retired: {why}")]
    OtherAddressSpace {
        /// The frames that were to be retired.
        frames: PfnRange,
        /// The two address spaces.
        why: OtherAddressSpace,
    },
}

impl RetireError {
    /// Checks that every frame of `frames` is populated and none is online, as far as `model` reports: the cases that
    /// [`RetireModel::retire`] refuses before it changes anything, for callers that have to know in advance.
    ///
    /// # Errors
    ///
    /// [`RetireError::Frames`], [`RetireError::NoMemmap`], [`RetireError::Absent`], [`RetireError::Online`].
    pub fn check<M: MemoryModel>(model: &M, frames: PfnRange) -> Result<(), Self> {
        FramesError::check_subsections::<M::Geometry>(frames)?;
        SectionPart::of::<M::Geometry>(frames).try_for_each(|part| {
            let state = model.section(part.section);
            NoMemmap::check(part, &state)?;
            Self::check_part(part, state.subsections, state.online)
        })
    }

    /// The same check for one part, in a section with these populated and these online subsections.
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

/// The result of a retirement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that the caller should report"]
pub struct Retired {
    /// Number of sections that lost subsections.
    pub sections: u64,
    /// Number of those sections that are absent now, with all their metadata; the others have subsections left.
    pub gone: u64,
    /// Metadata blocks that the environment refused.
    pub lost: LostBlocks,
}

/// Adds subsections to a model, with memory and mappings from an environment `E`.
pub trait InstallModel<E>: MemoryModel {
    /// Makes `frames`, whole subsections of one section, valid.
    ///
    /// A hole of an early section gets its descriptors from the section's own memmap, without any allocation; they
    /// keep their old content. Descriptors of other sections are zeroed. The section is not online afterwards unless it
    /// was before. It takes one section at a time, where [`RetireModel::retire`] takes any number: undoing an
    /// installation that fails in a later section means waiting for readers, which a domain without grace periods
    /// cannot do.
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

    /// The same for frames that are used as compounds, whose tails share descriptors that may only be read
    /// ([`MemoryModel::folded`]). A compound that is larger than a section is installed section by section.
    ///
    /// Descriptors of an early section stay as they are, each in its own memory. The default is for models that cannot
    /// share descriptors. Source: Linux `vmemmap_populate_compound_pages` (V-60 to V-62), since 5.14. Differs from Linux:
    /// a compound has one page of its own instead of two, and the others are one page of all compounds of the order and
    /// the node, and to be read only.
    ///
    /// # Errors
    ///
    /// [`InstallError`]; if the frames cannot be folded, with [`SectionLoss::Unfoldable`]. The model is as it was.
    fn install_compounds(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
    ) -> Result<(), InstallError>
    where
        Self: Sized,
    {
        let _ = (writer, env, node, tails);
        let (section, _) = FramesError::check::<Self::Geometry>(frames)?;
        let why = SectionLoss::Unfoldable(FoldError::Unsupported);
        Err(InstallError::NoMetadata { frames, section, why, lost: LostBlocks::default() })
    }
}

/// Removes subsections. Only for domains with a grace period: see [`Reclaim`](crate::Reclaim).
pub trait RetireModel<E>: MemoryModel<Reclaim: GracePeriod> {
    /// Makes `frames`, whole subsections of any number of sections, invalid, waits for readers once, and gives metadata
    /// back.
    ///
    /// An early section is valid as a whole, and keeps its memmap, until its last subsection is retired: retiring one
    /// of the others waits for no reader. In any other section the memmap of the subsections is freed with them, except
    /// memory that a neighbour shares. Deadlocks if the caller holds a guard of the domain.
    ///
    /// Source: Linux `sparse_remove_section`. Differs from Linux: the memmap outlives readers, usages and roots of
    /// boot are given back, and absent frames are an error before the first change, where Linux warns after it has
    /// removed some sections (H-04).
    ///
    /// # Errors
    ///
    /// [`RetireError`], naming frames, section and cause; the model is as it was.
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError>
    where
        Self: Sized;

    /// Checks what only the model knows before it retires `frames` that are offline: that `env` has its page tables and the
    /// altmaps that hold descriptors of `frames`, and that no other frames have their descriptors in the memory of `frames`.
    ///
    /// After [`MarkError::check`](crate::MarkError::check) and this, the holder of the writer knows that
    /// [`RetireModel::retire`] will not refuse, and may do before it what cannot be undone. The default is for models that
    /// never refuse for these reasons. A model that wraps another passes this on.
    ///
    /// # Errors
    ///
    /// [`RetireError::OtherAddressSpace`], [`RetireError::OtherAltmap`], [`RetireError::HoldsMemmap`].
    fn check_retire(writer: &mut Writer<'_, Self>, env: &E, frames: PfnRange) -> Result<(), RetireError>
    where
        Self: Sized,
    {
        let _ = (writer, env, frames);
        Ok(())
    }

    /// Retires the frames that were installed last, section after section: it undoes an operation that fails later.
    ///
    /// It does not check whether other frames have descriptors in the memory of `frames`: such descriptors lay there
    /// before the installation, too. This holds because the model installed nothing else since, and because whole
    /// installations are undone: `frames` begin where one of them began, and end where the last one ended. The default
    /// is [`RetireModel::retire`], for models that never refuse for that reason. A model that wraps another passes this
    /// on. A listener to events that unwinds does not keep the undoing from happening: its caller has no other path.
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

    /// Folds `frames`, which are up and stay so: whole compounds and whole subsections, in any number of sections. Their tails
    /// share a page that may only be read ([`MemoryModel::folded`]), and the memory that their descriptors had is given back.
    ///
    /// Readers may read all the time, and may be told early that the frames are folded. The model allocates everything first, says
    /// that the frames are folded, waits for readers, and compares the descriptors of tails: those of one compound in
    /// one section have to be alike, byte by byte. Deadlocks if the caller holds a guard of the domain. `tails` holds from the
    /// call on, and as long as the frames are folded; `quiet` holds during the call, and is needed for all descriptors in a
    /// large mapping of which a part is folded. It stays split after an unfolding.
    ///
    /// The default is for models that cannot share descriptors. Source: Linux HVO, since 5.14 (V-71).
    ///
    /// # Errors
    ///
    /// [`RefoldError`]; the model is as it was.
    ///
    /// # Cost
    ///
    /// Reads every descriptor of a tail, and copies those that move.
    fn fold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
        quiet: QuietDescriptors,
    ) -> Result<Refolded, RefoldError>
    where
        Self: Sized,
    {
        let _ = (writer, env, node, tails, quiet);
        FramesError::check_subsections::<Self::Geometry>(frames)?;
        Err(FoldError::Unsupported.into())
    }

    /// Gives each of `frames`, whole subsections of folded compounds, a descriptor of its own again, equal to the one that it
    /// shared. When it returns, they may be written. Waits for readers, and deadlocks if the caller holds a guard of the domain.
    ///
    /// # Errors
    ///
    /// [`RefoldError`]; the model is as it was.
    fn unfold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<Refolded, RefoldError>
    where
        Self: Sized,
    {
        let _ = (writer, env, node);
        FramesError::check_subsections::<Self::Geometry>(frames)?;
        Err(FoldError::Unsupported.into())
    }
}

/// All operations of a model with an environment `E`, in one bound; every model that has them all has this trait.
pub trait CompleteModel<E>: BootModel<E> + InstallModel<E> + RetireModel<E> + MarkModel {}

impl<M, E> CompleteModel<E> for M where M: BootModel<E> + InstallModel<E> + RetireModel<E> + MarkModel {}
