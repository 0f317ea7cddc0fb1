//! What the two section tables have in common.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    ForeignBlock, Geometry, MetadataMemory, NodeId, Origin, OutOfMemory, PageDescriptor, SectionNr, Usage,
};

use crate::SectionEntry;
use crate::give_back::give_back;

/// The entry type of a table.
pub(crate) type Entry<T> = SectionEntry<<T as SectionTable>::Page, <T as SectionTable>::Usage>;

/// A table of section entries.
///
/// # Safety
///
/// [`SectionTable::entry`] gives, for the same number, the same entry at every call, from the [`SectionTable::commit`]
/// that made it until its root is taken out; entries of different numbers are different.
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

    /// Finds the entry of a section, or allocates a root for it that nobody sees yet; for the writer of the model.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if the entry needs a root and there is no memory for it; nothing has changed then.
    ///
    /// # Safety
    ///
    /// The caller is the model's writer, `nr` exists in the geometry, and the entry is used as
    /// [`SectionTable::entry`] says. The slot has to be committed or discarded.
    unsafe fn prepare<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        env: &mut E,
    ) -> Result<Slot<'_, Self>, OutOfMemory>;

    /// Makes what was prepared visible.
    ///
    /// # Safety
    ///
    /// The caller is the model's writer, and `slot` is from [`SectionTable::prepare`] of this table for `nr`.
    unsafe fn commit(&self, nr: SectionNr, slot: Slot<'_, Self>);

    /// Takes the root of a section out of the table, if no section of it is known any more.
    ///
    /// # Safety
    ///
    /// The caller is the model's writer, holds no entry of the root, and gives the root back only after a grace
    /// period, or with `&mut` of the model.
    unsafe fn unlink_empty_root(&self, nr: SectionNr) -> Option<FreshRoot>;

    /// Notes that an entry is about to be, or may no longer be, absent; for the writer of the model.
    fn note(&self, nr: SectionNr, occupied: Occupied);

    /// The first section at or after `from` whose word is not zero.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`], while this runs.
    unsafe fn next_known(&self, from: SectionNr) -> Option<SectionNr>;

    /// Gives back every root, telling `refused` of blocks that were not taken.
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

/// An entry that is there, or is about to be.
#[must_use = "a prepared root is lost if it is neither committed nor discarded"]
pub struct Slot<'t, T: SectionTable + ?Sized> {
    /// The entry; visible to readers only if there was a root already.
    pub(crate) entry: &'t Entry<T>,
    /// The root that was allocated for it.
    pub(crate) fresh: Option<FreshRoot>,
}

/// A root that no reader can reach.
#[derive(Debug)]
#[must_use = "the root is owned and has to be given back"]
pub struct FreshRoot {
    pub(crate) start: NonNull<u8>,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
}

impl FreshRoot {
    /// Gives the root's memory back.
    ///
    /// # Errors
    ///
    /// [`ForeignBlock`] if the environment does not know it; it is lost then.
    ///
    /// # Safety
    ///
    /// No reader uses the root any more.
    pub(crate) unsafe fn give_back<E: MetadataMemory>(self, env: &mut E) -> Result<(), ForeignBlock> {
        // SAFETY: a root is a block of its own, and this value is its only owner.
        unsafe { give_back(env, self.start, self.layout, self.origin) }
    }
}
