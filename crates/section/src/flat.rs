//! The flat table: one entry per possible section.
//!
//! Its size depends on the geometry: 8 MiB for x86_64 with 46 bits of physical address, 512 MiB with 52 bits. It lives
//! in a `static` (zero bytes, so it takes no room in an image) or in zeroed memory, and never moves.
//!
//! # Invariants
//!
//! 1. `N` is the geometry's number of sections; anything else does not compile.

use core::marker::PhantomData;

use sparsemem_core::{
    Geometry, MetadataMemory, NodeId, OutOfMemory, PageDescriptor, SectionNr, SectionShape, ZeroIsNew,
    atomic_array, const_fn,
};
use sparsemem_usage_map::SubsectionMap;

#[cfg(not(sparsemem_loom))]
use crate::ConstNew;
use crate::entry::FreshRoot;
use crate::table::{Entry, Occupied, SectionTable, sealed};
use crate::validity::{InWords, Kept, Plane, Validity, new_validity};
use crate::{Occupancy, SectionEntry};

/// A table with an entry for each of the geometry's `N` sections, whose lookups find what is valid in `V`: [`InWords`] or
/// [`FlatPlanes`](crate::FlatPlanes).
#[derive(Debug)]
#[repr(C)]
pub struct FlatTable<G: Geometry, P, const N: usize, V = InWords> {
    entries: [SectionEntry<P, G>; N],
    occupancy: Occupancy,
    validity: V,
    geometry: PhantomData<G>,
}

impl<G: Geometry, P: PageDescriptor, const N: usize, V: Validity<G>> FlatTable<G, P, N, V> {
    /// The number of neighbouring sections that share an occupancy slot.
    const STRIDE: u64 = Occupancy::stride(G::NR_SECTIONS);

    /// Does not compile for a table that is not the geometry's.
    const CHECK: () = {
        let () = G::CHECK;
        let () = V::CHECK;
        assert!(N == G::NR_SECTIONS_LEN, "N must be the geometry's NR_SECTIONS_LEN");
        assert!(!matches!(V::KEPT, Kept::InRoots), "a flat table has no roots for planes");
    };

    const_fn! {
        /// A table without sections.
        #[must_use]
        pub const fn new() -> Self {
            const { Self::CHECK }
            Self {
                entries: atomic_array![SectionEntry::absent(); N],
                occupancy: Occupancy::new(),
                validity: new_validity!(V, G),
                geometry: PhantomData,
            }
        }
    }

    /// The entry of a section, if the geometry has it.
    #[inline]
    fn get(&self, nr: SectionNr) -> Option<&SectionEntry<P, G>> {
        self.entries.get(usize::try_from(nr.get()).ok()?)
    }

    /// The first known section among `from` and the rest of its slot.
    fn next_in_slot(&self, from: u64) -> Option<SectionNr> {
        let end = (from / Self::STRIDE + 1) * Self::STRIDE;
        (from..end.min(G::NR_SECTIONS))
            .map(SectionNr::new)
            .find(|nr| self.get(*nr).is_some_and(|entry| !entry.word().is_absent()))
    }
}

impl<G: Geometry, P, const N: usize, V> sealed::Sealed for FlatTable<G, P, N, V> {}

// SAFETY: (1) the entries are a field of the table: they are there from `new` on, each in a place of its own. (2) `note`
// sets the occupancy of a section's slot before its word is stored, and clears it only when every word of the slot is zero.
unsafe impl<G, P, const N: usize, V> SectionTable for FlatTable<G, P, N, V>
where
    G: Geometry,
    P: PageDescriptor,
    V: Validity<G>,
{
    type Geometry = G;
    type Page = P;
    type Validity = V;

    const ENCODED_MODEL: &'static str = "classic-sparse";

    #[inline]
    unsafe fn entry(&self, nr: SectionNr) -> Option<&Entry<Self>> {
        self.get(nr)
    }

    #[inline]
    unsafe fn entry_unchecked(&self, nr: SectionNr) -> &Entry<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "a present section has a number below N: usize")]
        let index = nr.get() as usize;
        // SAFETY: the caller promises that the section is present, so its number is below `N`.
        unsafe { self.entries.get_unchecked(index) }
    }

    #[inline]
    unsafe fn plane(&self, plane: Plane, nr: SectionNr) -> Option<&SubsectionMap<G>> {
        self.validity.beside(plane, nr)
    }

    unsafe fn prepare<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        _env: &mut E,
    ) -> Result<Option<FreshRoot>, OutOfMemory> {
        // Here as well, because a table may be zeroed memory instead of coming from `new`.
        const { Self::CHECK }
        // Every section of the geometry has its entry; memory does not help for others.
        match self.get(nr) {
            Some(_) => Ok(None),
            None => {
                Err(OutOfMemory { size: size_of::<Entry<Self>>(), align: align_of::<Entry<Self>>(), node })
            }
        }
    }

    unsafe fn commit(&self, _nr: SectionNr, _fresh: Option<FreshRoot>) {
        // The entry was visible from the start.
    }

    unsafe fn unlink_empty_root(&self, _nr: SectionNr) -> Option<FreshRoot> {
        None
    }

    unsafe fn note(&self, nr: SectionNr, occupied: Occupied) {
        let slot = nr.get() / Self::STRIDE;
        match occupied {
            Occupied::Yes => self.occupancy.set(slot),
            Occupied::No if self.next_in_slot(slot * Self::STRIDE).is_none() => self.occupancy.clear(slot),
            Occupied::No => {}
        }
    }

    unsafe fn next_known(&self, from: SectionNr) -> Option<SectionNr> {
        let mut from = from.get();
        loop {
            let slot = self.occupancy.next(from / Self::STRIDE)?;
            from = from.max(slot * Self::STRIDE);
            if let Some(found) = self.next_in_slot(from) {
                return Some(found);
            }
            from = (slot + 1) * Self::STRIDE;
        }
    }

    fn next_empty_root(&mut self) -> Option<(SectionNr, FreshRoot)> {
        None
    }

    fn bytes(&self) -> u64 {
        size_of::<Self>() as u64 - self.plane_bytes()
    }

    fn plane_bytes(&self) -> u64 {
        size_of::<V>() as u64
    }
}

// SAFETY: null pointers are zero bytes on every target that Rust supports, and so are the zero words of the
// occupancy; the planes say it themselves; `new` makes the same bytes.
unsafe impl<G: Geometry, P, const N: usize, V: ZeroIsNew> ZeroIsNew for FlatTable<G, P, N, V> {}

#[cfg(not(sparsemem_loom))]
impl<G, P, const N: usize, V> ConstNew for FlatTable<G, P, N, V>
where
    G: Geometry,
    P: PageDescriptor,
    V: Validity<G>,
{
    const NEW: Self = Self::new();
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use sparsemem_core::presets::X86_64;
    use sparsemem_core::{Page, SectionFlags};
    use sparsemem_machine::place;

    use super::*;
    use crate::SectionWord;

    /// Sixteen sections share a summary bit.
    type Table = FlatTable<X86_64, Page, { X86_64::NR_SECTIONS_LEN }>;

    fn put(table: &Table, nr: u64, word: SectionWord<Page>, occupied: Occupied) {
        let nr = SectionNr::new(nr);
        table.get(nr).unwrap().set_word(word);
        // SAFETY: the table is this test's own.
        unsafe { table.note(nr, occupied) };
    }

    /// A bit that stayed would make every later walk read sixteen entries.
    #[test]
    fn a_summary_bit_is_cleared_with_the_last_of_its_sections() {
        let table: Box<Table> = place();
        let word = SectionWord::marked(NodeId::new(1), SectionFlags::PRESENT).unwrap();
        let bits = || [0, 1, 2, 32_767].map(|slot| table.occupancy.next(slot) == Some(slot));
        let sections = [0, 15, 16, 31, 40, X86_64::NR_SECTIONS - 1];
        sections.iter().for_each(|&nr| put(&table, nr, word, Occupied::Yes));
        assert_eq!(bits(), [true; 4]);
        for (nr, left) in sections.into_iter().zip([
            [true; 4],
            [false, true, true, true],
            [false, true, true, true],
            [false, false, true, true],
            [false, false, false, true],
            [false; 4],
        ]) {
            put(&table, nr, SectionWord::ABSENT, Occupied::No);
            assert_eq!(bits(), left, "after section {nr}");
        }
    }
}
