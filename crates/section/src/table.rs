//! What the two section tables have in common.

use sparsemem_core::{
    ForeignBlock, Geometry, MetadataMemory, NodeId, OutOfMemory, PageDescriptor, SectionNr, Usage,
};

use crate::SectionEntry;

/// The entry type of a table.
pub(crate) type Entry<T> = SectionEntry<<T as SectionTable>::Page, <T as SectionTable>::Usage>;

/// A table of section entries.
///
/// # Safety
///
/// [`SectionTable::entry`] gives, for the same number, the same entry at every call, from the [`SectionTable::ensure`]
/// that made it until [`SectionTable::release`]; entries of different numbers are different.
pub unsafe trait SectionTable: Send + Sync {
    /// Sizes of pages, subsections and sections.
    type Geometry: Geometry;
    /// The page descriptor that memmaps consist of.
    type Page: PageDescriptor;
    /// The usage that entries point to.
    type Usage: Usage<Geometry = Self::Geometry>;

    /// The name of the model that finds memmaps through this table's words.
    const ENCODED_MODEL: &'static str;

    /// The entry of a section, or `None` if the geometry or the table has none.
    ///
    /// # Safety
    ///
    /// The reference may be used only while a guard of the model's reclaim domain is held, or the model's writer, or
    /// `&mut` of the model: roots go away with a grace period.
    ///
    /// # Cost
    ///
    /// Flat: no load. Rooted: one, of the root pointer.
    unsafe fn entry(&self, nr: SectionNr) -> Option<&Entry<Self>>;

    /// The entry of a section that is known to have one.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`], and the section must be present.
    unsafe fn entry_unchecked(&self, nr: SectionNr) -> &Entry<Self>;

    /// Makes sure that a section has an entry; for the writer of the model.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if the entry needs a root and there is no memory for it; nothing has changed then.
    ///
    /// # Safety
    ///
    /// The caller is the model's writer, `nr` exists in the geometry, and the reference is used as
    /// [`SectionTable::entry`] says.
    unsafe fn ensure<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        env: &mut E,
    ) -> Result<&Entry<Self>, OutOfMemory>;

    /// Notes that an entry is about to be, or may no longer be, absent; for the writer of the model.
    fn note(&self, nr: SectionNr, occupied: Occupied);

    /// The first section at or after `from` whose word is not zero.
    fn next_known(&self, from: SectionNr) -> Option<SectionNr>;

    /// Gives back what [`SectionTable::ensure`] allocated, telling `refused` of blocks that were not taken.
    fn release<E: MetadataMemory>(&mut self, env: &mut E, refused: &mut dyn FnMut(SectionNr, ForeignBlock));

    /// Bytes of the table as it is now, all levels.
    fn bytes(&self) -> u64;
}

/// Whether a section's entry is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// About to be.
    Yes,
    /// No longer.
    No,
}
