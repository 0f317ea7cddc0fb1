//! The interface that the two section tables share.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    EarlyFrames, Geometry, MetadataMemory, NodeId, Origin, OutOfMemory, PageDescriptor, SectionFlags,
    SectionNr, SubsectionBits,
};
use sparsemem_usage_map::{SectionUsage, SubsectionMap};

use crate::SectionWord;
use crate::entry::{FreshRoot, SectionEntry};
use crate::validity::{Kept, Plane, Validity, ValidityRule};

/// The entry type of a table.
pub(crate) type Entry<T> = SectionEntry<<T as SectionTable>::Page, <T as SectionTable>::Geometry>;

/// Keeps [`SectionTable`] to the tables of this crate.
pub(crate) mod sealed {
    /// No other crate can name it.
    pub trait Sealed {}
}

/// A table of section entries: [`FlatTable`](crate::FlatTable) or [`RootedTable`](crate::RootedTable).
///
/// Sealed: the model frees memory where a table reports that no section is known, and only the model's operations may
/// call its methods. Where its `# Safety` sections say *the writer*, they mean the holder of the
/// [`Writing`](crate::Writing) of the model that the table belongs to, which is also their only caller.
///
/// # Safety
///
/// 1. [`SectionTable::entry`] gives, for the same number, the same entry at every call, from the
///    [`SectionTable::commit`] that made it until its root is taken out; entries of different numbers are different.
/// 2. [`SectionTable::next_known`] misses no section whose word is not zero: a caller that asks whether memory is still
///    needed frees the memory of all sections that the method does not name.
pub unsafe trait SectionTable: sealed::Sealed + Send + Sync {
    /// Sizes of pages, subsections and sections.
    type Geometry: Geometry;
    /// The page descriptor that memmaps consist of.
    type Page: PageDescriptor;
    /// The rule by which frames are valid, and the place where lookups find the answer.
    type Validity: Validity<Self::Geometry>;

    /// The name of the model that finds memmaps through this table's words.
    const ENCODED_MODEL: &'static str;

    /// The entry of a section, or `None` if the geometry or the table has none.
    ///
    /// # Safety
    ///
    /// The reference may be used only while a guard of the model's reclaim domain is held, or by the writer: roots are given
    /// back after a grace period.
    ///
    /// # Cost
    ///
    /// Flat: no load. Rooted: one load, of the root pointer.
    unsafe fn entry(&self, nr: SectionNr) -> Option<&Entry<Self>>;

    /// The entry of a section that is known to have one.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`], and the section must be present.
    unsafe fn entry_unchecked(&self, nr: SectionNr) -> &Entry<Self>;

    /// The bits of a section in a plane, or `None` if there is no such section, root or plane.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`].
    ///
    /// # Cost
    ///
    /// In roots: one load, of the root pointer. Beside the table: no load.
    unsafe fn plane(&self, plane: Plane, nr: SectionNr) -> Option<&SubsectionMap<Self::Geometry>>;

    /// Makes sure that a section can have an entry: allocates a root for it that no reader sees yet, unless there is an
    /// entry.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if the entry needs a root and there is no memory for it; nothing has changed then.
    ///
    /// # Safety
    ///
    /// For the writer; `nr` exists in the geometry. A root has to be committed or given back.
    unsafe fn prepare<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        env: &mut E,
    ) -> Result<Option<FreshRoot>, OutOfMemory>;

    /// Makes a root that was prepared visible.
    ///
    /// # Safety
    ///
    /// For the writer; `fresh` is from [`SectionTable::prepare`] of this table for `nr`.
    unsafe fn commit(&self, nr: SectionNr, fresh: Option<FreshRoot>);

    /// Takes the root of a section out of the table, if no section of it is known any more.
    ///
    /// # Safety
    ///
    /// For the writer, which holds no entry of the root, and gives the root back only after a grace period, or with
    /// `&mut` of the model.
    unsafe fn unlink_empty_root(&self, nr: SectionNr) -> Option<FreshRoot>;

    /// The block of the root in which a section has its entry, if the table has roots and this one is there.
    ///
    /// # Safety
    ///
    /// For the writer.
    unsafe fn root_block(&self, nr: SectionNr) -> Option<(NonNull<u8>, Layout, Origin)> {
        let _ = nr;
        None
    }

    /// Notes that an entry is about to be known, or is no longer.
    ///
    /// # Safety
    ///
    /// For the writer, before the word of the section is stored, and after it is zero again.
    unsafe fn note(&self, nr: SectionNr, occupied: Occupied);

    /// The first section at or after `from` whose word is not zero.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`], while this runs.
    unsafe fn next_known(&self, from: SectionNr) -> Option<SectionNr>;

    /// Takes any root out that has no known section, with the first section of it.
    fn next_empty_root(&mut self) -> Option<(SectionNr, FreshRoot)>;

    /// Bytes of the table as it is now, all levels, without planes.
    fn bytes(&self) -> u64;

    /// Bytes of the planes as they are now.
    fn plane_bytes(&self) -> u64;
}

/// True if lookups of a table's model read planes.
pub(crate) const fn has_planes<T: SectionTable>() -> bool {
    !matches!(kept::<T>(), Kept::InWords)
}

/// The place where lookups find which frames are valid.
const fn kept<T: SectionTable>() -> Kept {
    <T::Validity as Validity<T::Geometry>>::KEPT
}

/// The frames of a section of boot that are valid.
const fn early<T: SectionTable>() -> EarlyFrames {
    let early = <<T::Validity as Validity<T::Geometry>>::Rule as ValidityRule>::EARLY;
    assert!(
        !matches!(early, EarlyFrames::Reported),
        "a table knows subsections; wrap the model in `ByFrame`"
    );
    early
}

/// True if all frames of a section with these flags are valid because boot brought it up.
#[inline]
pub(crate) fn is_whole_early<T: SectionTable>(flags: SectionFlags) -> bool {
    let rule = const { early::<T>() };
    matches!(rule, EarlyFrames::All) && flags.contains(SectionFlags::EARLY)
}

/// True if all frames of a section with a memmap are valid, as its word alone says; for tables without planes.
#[inline]
pub(crate) fn is_whole<T: SectionTable>(word: SectionWord<T::Page>) -> bool {
    let flags = match const { early::<T>() } {
        EarlyFrames::All => SectionFlags::EARLY,
        EarlyFrames::Populated | EarlyFrames::Reported => SectionFlags::empty(),
    };
    word.is_alike_or(flags)
}

/// The valid subsections of a section. `usage` gives that of the entry, whose section has a memmap.
///
/// # Safety
///
/// As [`SectionTable::entry`].
pub(crate) unsafe fn valid_subsections<'t, T: SectionTable>(
    table: &'t T,
    nr: SectionNr,
    entry: &'t Entry<T>,
    usage: impl FnOnce() -> Option<&'t SectionUsage<T::Geometry>>,
) -> SubsectionBits {
    if const { has_planes::<T>() } {
        // SAFETY: the caller's promise is the same.
        return unsafe { table.plane(Plane::Valid, nr) }
            .map_or(SubsectionBits::EMPTY, SubsectionMap::snapshot);
    }
    let word = entry.word();
    if !word.has_memmap() {
        SubsectionBits::EMPTY
    } else if is_whole::<T>(word) {
        SubsectionBits::full::<T::Geometry>()
    } else {
        usage().map_or(SubsectionBits::EMPTY, SectionUsage::snapshot)
    }
}

/// The use of a section's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// About to be.
    Yes,
    /// No longer.
    No,
}

/// Hides from the compiler that a number is a shifted frame. It would compare the frame itself with a limit that no
/// instruction can hold, by another shift: one instruction more in every checked lookup.
#[inline(always)]
pub(crate) fn opaque(nr: u64) -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    let nr = {
        let mut nr = nr;
        // SAFETY: there is no instruction.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) nr, options(pure, nomem, nostack, preserves_flags));
        }
        nr
    };
    nr
}
