//! Bringing a model up from the memory that firmware reported, and taking it down again.
//!
//! # Invariants
//!
//! 1. Nothing that was reported is lost silently: what a model cannot take is a [`BootEvent`].
//! 2. A section whose metadata cannot be had is absent, and only that section.

use crate::{
    Geometry, LinkRefused, LostBlocks, MemoryModel, NodeId, OtherAddressSpace, OutOfMemory, PageCount, Pfn,
    PfnRange, PhysRange, SectionNr, VirtAddr, Writer,
};

/// A range of memory as firmware reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// The frames.
    pub frames: PfnRange,
    /// The node that they belong to.
    pub node: NodeId,
}

impl MemoryRange {
    /// The whole frames in a range of bytes.
    #[must_use]
    pub const fn from_bytes<G: Geometry>(bytes: PhysRange, node: NodeId) -> Self {
        Self { frames: bytes.whole_frames::<G>(), node }
    }
}

/// Why a section could not be brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SectionLoss {
    /// The root of the two-level table that the section's entry belongs to.
    #[error("no root for its entry: {0}")]
    Root(OutOfMemory),
    /// Its node number, in whose place `memory` gave a smaller one when it was first asked.
    #[error("its node {0} does not fit a section word")]
    NodeTooLarge(NodeId),
    /// The section's usage.
    #[error("no usage map: {0}")]
    Usage(OutOfMemory),
    /// The section's memmap, or the page tables that lead to it.
    #[error("no memmap: {0}")]
    Memmap(OutOfMemory),
    /// The address space would not take the memmap's mapping.
    #[error("no mapping for its memmap: {0}")]
    Mapping(LinkRefused),
    /// The memmap's address leaves no room for flags: the provider's direct map does not keep alignments.
    #[error("its memmap at {address:#x} is not aligned, so a section word cannot hold it")]
    Misaligned {
        /// Virtual address of the memmap.
        address: usize,
    },
    /// The memmap's virtual addresses are not ones that the processor can translate.
    #[error("its memmap at {at} has no canonical addresses with these page tables")]
    Unmappable {
        /// First virtual address of the descriptors.
        at: VirtAddr,
    },
    /// Another model uses the place of the virtual memmap, or the place was never told.
    #[error("the place of the virtual memmap belongs to another model")]
    PlaceTaken,
    /// The model has not the writer slot that the place names: see
    /// [`ArrayPlace::shared_writer`](crate::ArrayPlace::shared_writer).
    #[error(
        "the place of the virtual memmap is for models with another writer slot; make the model with the slot that the place names"
    )]
    OtherWriter,
    /// Others have mappings where only the model's page tables may be: see [`ArrayPlace`](crate::ArrayPlace).
    #[error(
        "the place of the virtual memmap is not alone: {at} is mapped by others; give it 512 GiB of its own"
    )]
    PlaceShared {
        /// The first address that others have mapped.
        at: VirtAddr,
    },
    /// The environment has other page tables than the model.
    #[error("no mapping for its memmap: {0}")]
    OtherAddressSpace(OtherAddressSpace),
    /// The memmap would lie outside the range of virtual addresses set aside for it.
    #[error("its memmap would end beyond the virtual range of the memmap")]
    OutsideRange,
}

/// Something that boot met and went on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootEvent {
    /// Frames beyond the geometry's maximum: they will have no descriptors.
    BeyondMaximum {
        /// The frames that were cut off.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// Two nodes have memory in one section; its descriptors are allocated on the first reporter's node.
    SharedSection {
        /// The section.
        section: SectionNr,
        /// The node that reported it first and keeps it.
        first: NodeId,
        /// The node that reported it later.
        also: NodeId,
    },
    /// A section stays absent, with all memory in it.
    SectionLost {
        /// The section.
        section: SectionNr,
        /// Why.
        why: SectionLoss,
    },
    /// The environment would not take back blocks that it gave a moment ago.
    BlocksLost {
        /// The section that the blocks were meant for.
        section: SectionNr,
        /// The blocks.
        lost: LostBlocks,
    },
}

/// What a boot did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootSummary {
    /// Sections that are up.
    pub sections: u64,
    /// Runs of successive sections of one node that they were brought up in.
    pub runs: u64,
    /// Sections that were reported but are absent, each told as [`BootEvent::SectionLost`].
    pub lost: u64,
    /// Frames beyond the geometry's maximum.
    pub beyond_maximum: PageCount,
}

/// Why a boot did not begin. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The model is up already.
    #[error("the model is up already: section {present} is present")]
    AlreadyUp {
        /// The lowest section that is present.
        present: SectionNr,
    },
    /// A node number does not fit the section word.
    #[error("node {node} of {frames} does not fit a section word")]
    NodeTooLarge {
        /// The node.
        node: NodeId,
        /// The range that it was given for.
        frames: PfnRange,
    },
}

/// Why a teardown did not give everything back to where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TearDownError {
    /// The model is down, but the environment refused blocks.
    #[error("the model is down{lost}; the first block was of section {section}")]
    Lost {
        /// The blocks that the environment refused.
        lost: LostBlocks,
        /// The section of the first.
        section: SectionNr,
    },
    /// A model with the same writer slot is being changed; this one is as it was.
    #[error(
        "the model is as it was: a model that shares its writer slot is being changed; try again when that has ended"
    )]
    SharedSlotTaken,
    /// The environment has other page tables than the model, which is as it was.
    #[error("the model is as it was: {0}")]
    OtherAddressSpace(#[from] OtherAddressSpace),
}

/// What a model's metadata takes, in bytes: [`MemoryModel::footprint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The section table with all its levels.
    pub table_bytes: u64,
    /// Usages of sections.
    pub usage_bytes: u64,
    /// Descriptors, counted by what backs them.
    pub memmap_bytes: u64,
    /// Page tables that the model made to reach them; zero for models without.
    pub page_table_bytes: u64,
}

impl Footprint {
    /// All of it.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.table_bytes + self.usage_bytes + self.memmap_bytes + self.page_table_bytes
    }
}

/// Boot and teardown, with memory and mappings from an environment `E`.
///
/// Every model takes [`MetadataMemory`](crate::MetadataMemory) from its environment; vmemmap takes
/// [`AddressSpace`](crate::AddressSpace) as well. A kernel that implements both on one type can change its model by
/// changing a feature.
pub trait BootModel<E>: MemoryModel {
    /// Brings up every section that holds a frame of `memory`.
    ///
    /// Sections are marked with the node of the first range that touches them (an early node id), with a usage in which
    /// the populated subsections are marked; then runs of successive sections of one node get memmaps. Ranges may
    /// come in any order and may overlap. Descriptors are zeroed, not initialised: see
    /// [`initialise`](crate::initialise). No memory at all is not an error: the summary then counts no sections.
    ///
    /// If `memory` or `on_event` unwinds while sections are marked, none of them stays; if `on_event` unwinds later, boot
    /// brings up the rest without telling it, and then unwinding goes on.
    ///
    /// Source: Linux `memory_present`, `sparse_init`, `subsection_map_init`. Differs from Linux: a section whose
    /// metadata cannot be had is skipped alone, where Linux gave up the rest of the run (until 7.0) or panics (since).
    ///
    /// # Errors
    ///
    /// [`BootError`]; nothing has changed then. What goes wrong later is reported to `on_event` and counted.
    fn boot<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        Self: Sized,
        I: Iterator<Item = MemoryRange> + Clone;

    /// Gives back everything that [`BootModel::boot`] took. `&mut self` proves that no reader and no writer of
    /// this model is left; a slot that others have too is taken meanwhile.
    ///
    /// # Errors
    ///
    /// [`TearDownError::Lost`] if the environment refused blocks; everything else is given back all the same.
    /// [`TearDownError::OtherAddressSpace`], [`TearDownError::SharedSlotTaken`]; nothing has changed then.
    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError>;
}
