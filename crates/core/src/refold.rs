//! Folding and unfolding compounds whose memory is up: descriptors move to other memory while readers read them.
//!
//! The methods are [`RetireModel::fold`](crate::RetireModel::fold) and [`RetireModel::unfold`](crate::RetireModel::unfold).
//!
//! # Invariants
//!
//! 1. Nothing that was written to a descriptor is lost: tails are folded only if they are alike.

use crate::{
    FoldError, FramesError, LeafSize, LostBlocks, NoMemmap, OtherAddressSpace, Pfn, PfnRange, PhysRange,
    SectionLoss, SectionNr, SubsectionBits, VirtAddr,
};

/// The promise that nobody stores to the descriptors of some frames while they are moved.
///
/// Descriptors in small pages of their own stay where they are, and need no promise. Those in a large mapping move together:
/// the fold copies them, and what is stored to the old place after that is lost. Readers may read meanwhile.
///
/// ```
/// use sparsemem_core::{PfnRange, QuietDescriptors};
///
/// assert_eq!(QuietDescriptors::none().frames(), PfnRange::default());
/// ```
///
/// ```compile_fail,E0133
/// use sparsemem_core::{PfnRange, QuietDescriptors};
///
/// let quiet = QuietDescriptors::promise(PfnRange::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietDescriptors(PfnRange);

impl QuietDescriptors {
    /// No promise: only descriptors in pages of their own can be folded.
    #[must_use]
    pub fn none() -> Self {
        Self(PfnRange::default())
    }

    /// The promise for all of `frames`.
    ///
    /// # Safety
    ///
    /// While an operation runs that gets this value, no code stores to the descriptor of one of `frames`, neither through
    /// a reference that a lookup lends nor through a pointer.
    #[must_use]
    pub const unsafe fn promise(frames: PfnRange) -> Self {
        Self(frames)
    }

    /// The frames.
    #[must_use]
    pub const fn frames(self) -> PfnRange {
        self.0
    }
}

/// The reason why compounds whose memory is up were not folded or unfolded. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefoldError {
    /// The frames are not whole subsections.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Some of the frames lie in a section without memmap.
    #[error(transparent)]
    NoMemmap(#[from] NoMemmap),
    /// Some of the frames are not populated.
    #[error("{frames} is absent in subsections {absent:?} of section {section}")]
    Absent {
        /// The frames that were given, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with absent subsections.
        section: SectionNr,
        /// The subsections of `frames` that are absent.
        absent: SubsectionBits,
    },
    /// The frames cannot be compounds of this order, or the model cannot fold.
    #[error(transparent)]
    Unfoldable(#[from] FoldError),
    /// Some of the frames are folded already.
    #[error(
        "{frames} is folded already in subsections {folded:?} of section {section}; fold the others only"
    )]
    Folded {
        /// The frames that were to be folded, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with folded subsections.
        section: SectionNr,
        /// The subsections of `frames` that are folded.
        folded: SubsectionBits,
    },
    /// Some of the frames are not folded.
    #[error(
        "{frames} is not folded in subsections {unfolded:?} of section {section}; unfold the others only"
    )]
    NotFolded {
        /// The frames that were to be unfolded, as far as they lie in the section.
        frames: PfnRange,
        /// The first section with such subsections.
        section: SectionNr,
        /// The subsections of `frames` that are not folded.
        unfolded: SubsectionBits,
    },
    /// The processor's page tables cannot map a descriptor elsewhere without an access in between that faults.
    #[error(
        "this processor cannot move descriptors that are in use; fold the frames when they are added \
         (`install_compounds`), or remove them first"
    )]
    InUse,
    /// Tails have different descriptors, so that sharing one would lose data.
    #[error(
        "the descriptor of frame {pfn} is not like that of frame {like}; make tails alike (`reset`) and fold again{lost}"
    )]
    Differs {
        /// The first tail whose descriptor differs.
        pfn: Pfn,
        /// The first tail of the compound in the section.
        like: Pfn,
        /// Blocks that the environment refused while the model undid the failure.
        lost: LostBlocks,
    },
    /// The descriptors lie in a large mapping, together with others that must not be written meanwhile either.
    #[error(
        "{frames} has its descriptors in one mapping, and all of them move; promise that nobody writes to any of them"
    )]
    NotQuiet {
        /// The frames whose descriptors would move.
        frames: PfnRange,
    },
    /// The descriptors lie in a mapping that is too large to be replaced by pages.
    #[error(
        "the descriptors lie in a mapping of {size} at {at}, which is not split; allow smaller ones (`largest_leaf`)"
    )]
    LargeLeaf {
        /// The mapping's first address.
        at: VirtAddr,
        /// Its size.
        size: LeafSize,
    },
    /// Descriptors that would move lie in an altmap that the environment does not have.
    #[error(
        "{frames} has descriptors at {memory}, in an altmap that the environment does not have; give it the altmap"
    )]
    OtherAltmap {
        /// The frames that were given.
        frames: PfnRange,
        /// The memory in the altmap.
        memory: PhysRange,
    },
    /// The environment has other page tables than the model.
    #[error("{frames} cannot be folded or unfolded: {why}")]
    OtherAddressSpace {
        /// The frames that were given.
        frames: PfnRange,
        /// Both page tables.
        why: OtherAddressSpace,
    },
    /// There is no memory for the new descriptors, or it cannot be mapped.
    #[error("{frames} cannot be folded or unfolded: {why}{lost}")]
    NoMetadata {
        /// The frames that were given.
        frames: PfnRange,
        /// The reason.
        why: SectionLoss,
        /// Blocks that the environment refused while the model undid the failure.
        lost: LostBlocks,
    },
}

/// The result of folding or unfolding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that the caller should report"]
pub struct Refolded {
    /// Bytes of descriptors that were given back, also by mappings that were split.
    pub given_back: u64,
    /// Bytes of descriptors that were taken, for pages that the frames do not share.
    pub taken: u64,
    /// Metadata blocks that the environment refused.
    pub lost: LostBlocks,
}
