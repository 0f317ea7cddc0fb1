//! Bringing a model up from the memory that firmware reported, and taking it down again.
//!
//! # Invariants
//!
//! 1. Nothing that was reported is lost silently: what a model cannot take is a [`BootEvent`].
//! 2. A section whose metadata cannot be had is absent, and only that section.

use crate::{
    ForeignBlock, Geometry, LinkRefused, MemoryModel, NodeId, OutOfMemory, PageCount, Pfn, PfnRange,
    PhysRange, SectionNr, VirtAddr,
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
    /// The environment would not take back a block that it gave a moment ago; the block is lost.
    BlockRefused {
        /// The section that the block was meant for.
        section: SectionNr,
        /// The block.
        block: ForeignBlock,
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
    /// Another slow operation of this model is running.
    #[error("another operation of this model is running")]
    Busy,
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

/// Metadata that did not go back to where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{blocks} metadata blocks were refused on teardown, the first in section {first}")]
pub struct TearDownError {
    /// How many blocks the provider refused. They are lost.
    pub blocks: u64,
    /// The section of the first.
    pub first: SectionNr,
}

/// What a model's metadata takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The section table with all its levels.
    pub table_bytes: u64,
    /// Usages of sections.
    pub usage_bytes: u64,
    /// Descriptors, counted by what backs them.
    pub memmap_bytes: u64,
    /// Page tables that lead to them; zero for models without.
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
    /// Sections are marked with the node of the first range that touches them (an early node id), then runs of
    /// successive sections of one node get usages and memmaps, then the populated subsections are marked. Ranges may
    /// come in any order and may overlap. Descriptors are zeroed, not initialised: see
    /// [`initialise`](crate::initialise). No memory at all is no error: the summary then counts no sections.
    ///
    /// Source: Linux `memory_present`, `sparse_init`, `subsection_map_init`. Differs from Linux: a section whose
    /// metadata cannot be had is skipped alone, where Linux gave up the rest of the run (until 7.0) or panics (since).
    ///
    /// # Errors
    ///
    /// [`BootError`]; nothing has changed then. What goes wrong later is reported to `on_event` and counted.
    fn boot<I>(
        &self,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone;

    /// Gives back everything that [`BootModel::boot`] took. `&mut self` proves that no reader is left.
    ///
    /// # Errors
    ///
    /// [`TearDownError`] if the environment refused blocks; everything else is given back all the same.
    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError>;

    /// What the model's metadata takes now, or `None` while an operation that changes the model is running.
    fn footprint(&self, env: &E) -> Option<Footprint>;
}
