//! The metadata of a model: as its author describes it, and as the environment observes it.

/// The metadata that a model allocates while it has sections, as far as the reference can say it beforehand.
///
/// Whatever it is, a refusal must leave exactly the same blocks allocated, and a teardown none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metadata {
    /// The walk does not compare the number of blocks.
    #[default]
    NotCompared,
    /// One block with everything, while there is a section.
    OneBlock,
    /// A block of descriptors for each present section, and one for its usage.
    PerSection,
    /// The blocks of [`PerSection`](Self::PerSection), and one for each root that has a present section.
    PerSectionAndRoot,
    /// The blocks of [`PerSectionAndRoot`](Self::PerSectionAndRoot), but descriptors lie in pages of 4 KiB that an
    /// x86_64 page table of the environment maps into one array: a block for each page that has a descriptor of a valid
    /// frame.
    PerSectionRootAndPage,
}

/// Everything that can be observed of the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryView {
    /// Blocks that hold descriptors.
    pub(crate) memmap_blocks: u16,
    /// All other blocks: usages, roots, page tables.
    pub(crate) other_blocks: u16,
    /// Pages of the array that the page tables map to memory, one bit each.
    pub(crate) mapped: u32,
    /// The number of events that must never happen: freeing foreign blocks, freeing before a grace period, page-table
    /// entries that lead nowhere.
    pub(crate) complaints: u32,
}
