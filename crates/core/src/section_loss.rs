//! The reasons why a section could not be brought up.
//!
//! # Invariants
//!
//! 1. A reason names what was missing, and what a kernel can change so that it is not missing next time.

use crate::{FoldError, LinkRefused, NodeId, OtherAddressSpace, OutOfMemory, PfnRange, VirtAddr};

/// The reason why a section could not be brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SectionLoss {
    /// The environment has no memory for the root of the two-level table that the section's entry belongs to.
    #[error("the root of its section entry cannot be allocated: {0}")]
    Root(OutOfMemory),
    /// The section's node number does not fit, although the iterator `memory` gave one that fits when it was first
    /// read.
    #[error("its node {0} does not fit a section word")]
    NodeTooLarge(NodeId),
    /// The environment has no memory for the section's usage.
    #[error("its usage cannot be allocated: {0}")]
    Usage(OutOfMemory),
    /// The environment has no memory for the section's memmap, or for the page tables that lead to it.
    #[error("its memmap cannot be allocated: {0}")]
    Memmap(OutOfMemory),
    /// The address space refused the mapping of the memmap.
    #[error("its memmap cannot be mapped: {0}")]
    Mapping(LinkRefused),
    /// The memmap's address leaves no room for flags: the environment's direct map does not keep alignments.
    #[error("its memmap at {address:#x} is not aligned, so a section word cannot hold the address")]
    Misaligned {
        /// Virtual address of the memmap.
        address: usize,
    },
    /// The processor cannot translate the memmap's virtual addresses.
    #[error("its memmap at {at} has addresses that are not canonical with these page tables")]
    Unmappable {
        /// First virtual address of the descriptors.
        at: VirtAddr,
    },
    /// Another model uses the place of the virtual memmap, or this model was not given a place.
    #[error("the place of the virtual memmap belongs to another model")]
    PlaceTaken,
    /// The model does not have the writer slot that the place names: see
    /// [`ArrayPlace::shared_writer`](crate::ArrayPlace::shared_writer).
    #[error(
        "the place of the virtual memmap is for models with another writer slot; make the model with the slot that the place names"
    )]
    OtherWriter,
    /// Other mappings lie where only the model's page tables may be: see [`ArrayPlace`](crate::ArrayPlace).
    #[error("the place of the virtual memmap has a foreign mapping at {at}; give it free blocks of 512 GiB")]
    PlaceShared {
        /// The first address that other code has mapped.
        at: VirtAddr,
    },
    /// The environment has other page tables than the model.
    #[error("its memmap cannot be mapped: {0}")]
    OtherAddressSpace(OtherAddressSpace),
    /// The descriptors of its compounds cannot share memory.
    #[error("its descriptors cannot be folded: {0}")]
    Unfoldable(FoldError),
    /// The memmap would lie outside the range of virtual addresses set aside for it.
    #[error("its memmap would end beyond the virtual range of the memmap")]
    OutsideRange,
    /// The environment has no memory for the one array that all descriptors of the model lie in.
    #[error(
        "the array of descriptors for all of {frames} cannot be allocated: {why}; reserve less room for memory that is \
         added later, or choose a model that takes memory per section"
    )]
    Array {
        /// The frames from the lowest to the highest that the array is for.
        frames: PfnRange,
        /// The missing memory.
        why: OutOfMemory,
    },
    /// The environment has no memory for the map of the holes in boot memory, of a model that is exact by frame.
    #[error(
        "the map of holes in {frames} cannot be allocated: {why}; give the boot allocator more memory, or choose a model \
         that is exact by subsection"
    )]
    Holes {
        /// The frames from the lowest to the highest that the map is for.
        frames: PfnRange,
        /// The missing memory.
        why: OutOfMemory,
    },
    /// The section has no descriptors in the one array of the model, which does not grow.
    #[error(
        "it has no place in the array of descriptors, which is for frames of {array}; reserve room for its frames before \
         the model boots"
    )]
    BeyondArray {
        /// The frames from the lowest to the highest that the array is for.
        array: PfnRange,
    },
    /// The section's frames have no number in the numbering of the one array of the model, which does not change.
    #[error(
        "its frame numbers have a bit that was zero in all frames that the array for {array} was made for; reserve room \
         for its frames before the model boots"
    )]
    NotNumbered {
        /// The frames from the lowest to the highest that the array is for.
        array: PfnRange,
    },
}

impl SectionLoss {
    /// The memory that was missing, if that is the cause.
    #[must_use]
    pub const fn out_of_memory(&self) -> Option<OutOfMemory> {
        match self {
            Self::Root(error)
            | Self::Usage(error)
            | Self::Memmap(error)
            | Self::Array { why: error, .. }
            | Self::Holes { why: error, .. } => Some(*error),
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
