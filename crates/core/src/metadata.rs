//! The places of a section's metadata, as a model reports them.
//!
//! # Invariants
//!
//! 1. A model reports, over all of its sections, all memory that it has taken and not given back, except pages that belong to
//!    no section: those that the tails of large pages share.

use crate::{MemoryModel, Origin, PhysRange, SectionNr, Writer};

/// The purpose of a block of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetadataUse {
    /// Descriptors: a section's block, a leaf of a virtual array, or the block of a model that keeps everything in one.
    Memmap,
    /// The usage: subsection map and pageblock flags.
    Usage,
    /// The root of a two-level section table, in which the section has its entry.
    Root,
    /// A page table that leads to descriptors of the section.
    PageTable,
}

/// A block of memory that holds metadata of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataBlock {
    /// The purpose of it.
    pub of: MetadataUse,
    /// Its physical addresses.
    pub bytes: PhysRange,
    /// The memory that it was allocated from.
    pub origin: Origin,
}

/// Reports which blocks of memory hold the metadata of a section, so that records of metadata, such as those of the crate
/// `sparsemem-bootmem-registration`, need not guess it from the order of allocations.
///
/// ```
/// use sparsemem_core::{MemoryModel, MetadataModel, MetadataUse, SectionNr};
///
/// /// Bytes of the descriptors of all sections.
/// fn memmaps<M: MetadataModel<E>, E>(model: &M, env: &E) -> u64 {
///     let mut writer = model.write().expect("this kernel's own lock keeps other writers out");
///     let mut bytes = 0;
///     for section in model.present_sections() {
///         writer.each_metadata(env, section, &mut |block| {
///             bytes += if block.of == MetadataUse::Memmap { block.bytes.count().get() } else { 0 };
///         });
///     }
///     bytes
/// }
/// ```
pub trait MetadataModel<E>: MemoryModel {
    /// Calls `visit` with every block that holds metadata of `section`: none if it is absent.
    ///
    /// Several sections may have a block in common: a root, a page table, a leaf of a virtual array, the one block of an
    /// array model. Each of them reports it. A root page table is the kernel's, and no block of a model. A page that the tails
    /// of large pages share belongs to no section, and is left out.
    ///
    /// `env` is the environment that the blocks are from; a block that its direct map does not reach is left out. Source:
    /// Linux finds the same out by walking its section table and its page tables (`register_page_bootmem_info_section`,
    /// `register_page_bootmem_memmap`).
    ///
    /// # Cost
    ///
    /// A few loads; on a virtual array a walk for each of the section's leaves.
    fn each_metadata(
        writer: &mut Writer<'_, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) where
        Self: Sized;
}
