//! The two-level table: an array of roots, each a page of entries, allocated when its first section appears.
//!
//! # Invariants
//!
//! 1. `N` is the geometry's number of roots; anything else does not compile.
//! 2. A root pointer is null, or leads to [`SectionShape::SECTIONS_PER_ROOT`] entries that live until a grace period
//!    after the pointer was taken out of the array.
//! 3. A root is published (Release) only after its entries were written.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicPtr, AtomicU8, Ordering, look_at};
use sparsemem_core::{
    Geometry, MetadataMemory, NodeId, Origin, OutOfMemory, PageDescriptor, SectionNr, SectionShape,
    ZeroIsNew, atomic_array, const_fn,
};
use sparsemem_usage_map::SubsectionMap;

#[cfg(not(sparsemem_loom))]
use crate::ConstNew;
use crate::entry::FreshRoot;
use crate::table::{Entry, Occupied, SectionTable, sealed};
use crate::validity::{InWords, Plane, Validity, new_validity};
use crate::{Occupancy, SectionEntry};

/// A table of `N` roots, whose lookups find what is valid in `V`.
///
/// Source: Linux `SPARSEMEM_EXTREME`. Differs from Linux: roots are given back.
#[derive(Debug)]
#[repr(C)]
pub struct RootedTable<G: Geometry, P, const N: usize, V = InWords> {
    roots: [AtomicPtr<SectionEntry<P, G>>; N],
    origins: [AtomicU8; N],
    occupancy: Occupancy,
    validity: V,
    geometry: PhantomData<G>,
}

impl<G: Geometry, P: PageDescriptor, const N: usize, V: Validity<G>> RootedTable<G, P, N, V> {
    /// The number of neighbouring roots that share an occupancy slot.
    const STRIDE: u64 = Occupancy::stride(G::NR_ROOTS);
    /// Bits of a section's index in its root.
    const INDEX_BITS: u32 = G::SECTIONS_PER_ROOT.trailing_zeros();

    /// Does not compile for a table that is not the geometry's.
    const CHECK: () = {
        let () = G::CHECK;
        let () = V::CHECK;
        assert!(N == G::NR_ROOTS_LEN, "N must be the geometry's NR_ROOTS_LEN");
        assert!(G::SECTIONS_PER_ROOT.is_power_of_two(), "an index in a root is a mask");
        assert!(
            Self::ENTRY_BYTES % align_of::<SubsectionMap<G>>() == 0,
            "planes are aligned behind the entries"
        );
    };

    const_fn! {
        /// A table without roots.
        #[must_use]
        pub const fn new() -> Self {
            const { Self::CHECK }
            Self {
                roots: atomic_array![AtomicPtr::new(core::ptr::null_mut()); N],
                origins: atomic_array![AtomicU8::new(0); N],
                occupancy: Occupancy::new(),
                validity: new_validity!(V, G),
                geometry: PhantomData,
            }
        }
    }

    /// The root pointer of a section, and the origin of the root.
    fn slot(&self, nr: SectionNr) -> Option<(&AtomicPtr<SectionEntry<P, G>>, &AtomicU8)> {
        let root = usize::try_from(nr.get() >> Self::INDEX_BITS).ok()?;
        Some((self.roots.get(root)?, self.origins.get(root)?))
    }

    /// The first known section among `from` and the rest of its root.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`].
    unsafe fn next_in_root(&self, from: u64) -> Option<SectionNr> {
        let first = SectionNr::new(from);
        // Acquire: pairs with `commit`.
        let slot = self.slot(first)?.0.load(Ordering::Acquire);
        if slot.is_null() {
            return None;
        }
        let root = Self::root_of(slot, first);
        let end = (from / G::SECTIONS_PER_ROOT + 1) * G::SECTIONS_PER_ROOT;
        (from..end.min(G::NR_SECTIONS)).map(SectionNr::new).find(|nr| {
            // SAFETY: a root that is in the table is live (invariant 2), and the caller keeps it live.
            let entry = unsafe { Self::in_root(root, *nr) };
            // SAFETY: as above.
            !unsafe { &*entry }.word().is_absent()
        })
    }

    /// The first known section among `from` and the rest of its occupancy slot.
    ///
    /// # Safety
    ///
    /// As [`SectionTable::entry`].
    unsafe fn next_in_slot(&self, from: u64) -> Option<SectionNr> {
        let per_slot = Self::STRIDE * G::SECTIONS_PER_ROOT;
        let end = (from / per_slot + 1) * per_slot;
        let mut from = from;
        while from < end.min(G::NR_SECTIONS) {
            let (root, _) = self.slot(SectionNr::new(from))?;
            // Acquire: pairs with `commit`.
            let is_made = !root.load(Ordering::Acquire).is_null();
            // SAFETY: the caller's promise is the same.
            let found = is_made.then(|| unsafe { self.next_in_root(from) }).flatten();
            if found.is_some() {
                return found;
            }
            from = (from / G::SECTIONS_PER_ROOT + 1) * G::SECTIONS_PER_ROOT;
        }
        None
    }

    /// The occupancy slot of a section's root.
    const fn occupancy_slot(nr: SectionNr) -> u64 {
        (nr.get() >> Self::INDEX_BITS) / Self::STRIDE
    }

    /// The number of roots.
    fn count_roots(&self) -> u64 {
        // Relaxed: only the presence of roots is counted.
        self.roots.iter().filter(|root| !root.load(Ordering::Relaxed).is_null()).count() as u64
    }

    /// True if any root of an occupancy slot is there.
    fn any_root(&self, slot: u64) -> bool {
        (slot * Self::STRIDE..(slot + 1) * Self::STRIDE)
            .filter_map(|root| self.roots.get(usize::try_from(root).ok()?))
            // Relaxed: only the writer calls this.
            .any(|root| !root.load(Ordering::Relaxed).is_null())
    }
}

impl<G: Geometry, P, const N: usize, V> sealed::Sealed for RootedTable<G, P, N, V> {}

// SAFETY: (1) a root stays in its slot from `commit` to `unlink_empty_root`, and an entry is found by root and index, both
// functions of the number that tell different numbers apart. (2) `commit` sets the occupancy of a root's slot before the
// root is visible, and it is cleared only when no root of the slot is there.
unsafe impl<G, P, const N: usize, V> SectionTable for RootedTable<G, P, N, V>
where
    G: Geometry,
    P: PageDescriptor,
    V: Validity<G>,
{
    type Geometry = G;
    type Page = P;
    type Validity = V;

    const ENCODED_MODEL: &'static str = "sparse-extreme";

    #[inline]
    unsafe fn entry(&self, nr: SectionNr) -> Option<&Entry<Self>> {
        let root = self.roots.get(usize::try_from(nr.get() >> Self::INDEX_BITS).ok()?)?;
        // Acquire: pairs with the Release in `commit`, so that the root's entries are seen.
        let root = root.load(Ordering::Acquire);
        if root.is_null() {
            return None;
        }
        // SAFETY: a root that is in the table is live (invariant 2), and the caller keeps it live.
        let entry = unsafe { Self::in_root(Self::root_of(root, nr), nr) };
        // SAFETY: as above; entries were written before the root was published (invariant 3), and only shared references are made.
        Some(unsafe { &*entry })
    }

    #[inline]
    unsafe fn entry_unchecked(&self, nr: SectionNr) -> &Entry<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "a present section has a root below N: usize")]
        let index = (nr.get() >> Self::INDEX_BITS) as usize;
        // SAFETY: the caller promises that the section is present, so its root number is below `N`.
        let root = unsafe { self.roots.get_unchecked(index) };
        // Acquire: pairs with the Release in `commit`.
        let root = root.load(Ordering::Acquire);
        // SAFETY: a present section has a root (word and root are published in that order).
        let entry = unsafe { Self::in_root(Self::root_of(root, nr), nr) };
        // SAFETY: as in `entry`.
        unsafe { &*entry }
    }

    #[inline]
    unsafe fn plane(&self, plane: Plane, nr: SectionNr) -> Option<&SubsectionMap<G>> {
        if !Self::PLANES {
            return self.validity.beside(plane, nr);
        }
        let slot = self.roots.get(usize::try_from(nr.get() >> Self::INDEX_BITS).ok()?)?;
        // Acquire: pairs with the Release in `commit`, so that the root's planes are seen.
        let slot = slot.load(Ordering::Acquire);
        if slot.is_null() {
            return None;
        }
        let map = Self::in_slot(slot, plane, nr);
        // SAFETY: the map lies in a block. The compiler does not see that through wrapping arithmetic, and would ask again.
        unsafe { core::hint::assert_unchecked(!map.is_null()) };
        // SAFETY: the slot is that of the section's root, which is live (invariant 2, and root, invariant 2).
        let map = unsafe { &*map };
        look_at(map);
        Some(map)
    }

    unsafe fn prepare<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        env: &mut E,
    ) -> Result<Option<FreshRoot>, OutOfMemory> {
        // Here as well, because a table may be zeroed memory instead of coming from `new`.
        const { Self::CHECK }
        let layout = Self::root_layout(node)?;
        let (slot, _) = self.slot(nr).ok_or(OutOfMemory::new(layout, node))?;
        // Relaxed: only the writer stores, and this is for the writer.
        if !slot.load(Ordering::Relaxed).is_null() {
            return Ok(None);
        }
        let block = env.alloc_zeroed(layout, node)?;
        // SAFETY: the block was just allocated for a root.
        unsafe { Self::write_root(block.start().cast().as_ptr()) };
        Ok(Some(FreshRoot { start: block.start(), layout, origin: block.origin() }))
    }

    unsafe fn commit(&self, nr: SectionNr, fresh: Option<FreshRoot>) {
        let (Some(fresh), Some((root, origin))) = (fresh, self.slot(nr)) else { return };
        self.occupancy.set(Self::occupancy_slot(nr));
        // Relaxed: only the writer reads it.
        origin.store(fresh.origin.code(), Ordering::Relaxed);
        // Release: pairs with the Acquires of the lookups, so that the root's entries and planes are seen.
        root.store(Self::slot_of(fresh.start.cast().as_ptr(), nr), Ordering::Release);
    }

    unsafe fn unlink_empty_root(&self, nr: SectionNr) -> Option<FreshRoot> {
        let (slot, origin) = self.slot(nr)?;
        let first = nr.get() & !(G::SECTIONS_PER_ROOT - 1);
        // SAFETY: this is for the writer, and no other code takes roots out.
        if unsafe { self.next_in_root(first) }.is_some() {
            return None;
        }
        // Relaxed, both: only the writer changes them; readers that still hold the root are waited for by the caller.
        let unlinked = NonNull::new(slot.swap(core::ptr::null_mut(), Ordering::Relaxed))?;
        let start = NonNull::new(Self::root_of(unlinked.as_ptr(), nr))?.cast();
        let origin = Origin::from_code(origin.load(Ordering::Relaxed))?;
        if !self.any_root(Self::occupancy_slot(nr)) {
            self.occupancy.clear(Self::occupancy_slot(nr));
        }
        Some(FreshRoot { start, layout: Self::root_layout(NodeId::new(0)).ok()?, origin })
    }

    unsafe fn root_block(&self, nr: SectionNr) -> Option<(NonNull<u8>, Layout, Origin)> {
        let (slot, origin) = self.slot(nr)?;
        // Relaxed, both: only the writer stores.
        let slot = NonNull::new(slot.load(Ordering::Relaxed))?;
        let start = NonNull::new(Self::root_of(slot.as_ptr(), nr))?.cast();
        let origin = Origin::from_code(origin.load(Ordering::Relaxed))?;
        Some((start, Self::root_layout(NodeId::new(0)).ok()?, origin))
    }

    unsafe fn note(&self, _nr: SectionNr, _occupied: Occupied) {
        // Occupancy is kept per root, and changes with the roots.
    }

    unsafe fn next_known(&self, from: SectionNr) -> Option<SectionNr> {
        let per_slot = Self::STRIDE * G::SECTIONS_PER_ROOT;
        let mut from = from.get();
        loop {
            let slot = self.occupancy.next(from / per_slot)?;
            from = from.max(slot * per_slot);
            // SAFETY: the caller's promise is the same.
            if let Some(found) = unsafe { self.next_in_slot(from) } {
                return Some(found);
            }
            from = (slot + 1) * per_slot;
        }
    }

    fn next_empty_root(&mut self) -> Option<(SectionNr, FreshRoot)> {
        while let Some(slot) = self.occupancy.next(0) {
            for root in slot * Self::STRIDE..(slot + 1) * Self::STRIDE {
                let first = SectionNr::new(root * G::SECTIONS_PER_ROOT);
                // SAFETY: `&mut self`: no reader is left, and no code holds an entry.
                if let Some(unlinked) = unsafe { self.unlink_empty_root(first) } {
                    return Some((first, unlinked));
                }
            }
            // Stale: nothing is in the slot any more.
            self.occupancy.clear(slot);
        }
        None
    }

    fn bytes(&self) -> u64 {
        (size_of::<Self>() - size_of::<V>()) as u64 + self.count_roots() * Self::ENTRY_BYTES as u64
    }

    fn plane_bytes(&self) -> u64 {
        size_of::<V>() as u64 + self.count_roots() * 2 * Self::PLANE_BYTES as u64
    }
}

// SAFETY: null pointers are zero bytes on every target that Rust supports, and so are the zero words of the
// occupancy; the planes say it themselves; `new` makes the same bytes.
unsafe impl<G: Geometry, P, const N: usize, V: ZeroIsNew> ZeroIsNew for RootedTable<G, P, N, V> {}

#[cfg(not(sparsemem_loom))]
impl<G, P, const N: usize, V> ConstNew for RootedTable<G, P, N, V>
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
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use sparsemem_core::presets::X86_64La57;
    use sparsemem_core::{LostBlocks, Page, PhysAddr, PhysRange};
    use sparsemem_machine::{Machine, MachineConfig, place};

    use super::*;

    /// Four roots share a summary bit.
    type Wide = RootedTable<X86_64La57, Page, { X86_64La57::NR_ROOTS_LEN }>;

    fn bits(table: &Wide) -> Vec<u64> {
        let mut from = Some(0);
        core::iter::from_fn(|| {
            let found = table.occupancy.next(from?);
            from = found.map(|slot| slot + 1);
            found
        })
        .collect()
    }

    /// A bit that stayed would make every later walk read four roots.
    #[test]
    fn a_summary_bit_is_cleared_with_the_last_of_its_roots() {
        let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 20)).unwrap();
        let mut machine = Machine::new(&MachineConfig::new().memory(memory, NodeId::new(0))).unwrap();
        let table: Box<Wide> = place();
        let section = |root| SectionNr::new(root * X86_64La57::SECTIONS_PER_ROOT);
        let upwards = [0, 1, 2, 3, 4, 7, 131_071];
        let downwards = [131_071, 7, 4, 3, 2, 1, 0];
        for order in [upwards, downwards] {
            for root in order {
                // SAFETY: the table is this test's own, and the section exists.
                let fresh = unsafe { table.prepare(section(root), NodeId::new(0), &mut machine) }.unwrap();
                assert!(fresh.is_some());
                // SAFETY: as above; it was made for this section.
                unsafe { table.commit(section(root), fresh) };
            }
            assert_eq!(bits(&table), [0, 1, 32_767]);
            for (index, root) in order.into_iter().enumerate() {
                // SAFETY: as above, and no entry is held.
                let gone = unsafe { table.unlink_empty_root(section(root)) }.unwrap();
                let left: BTreeSet<_> = order[index + 1..].iter().map(|root| root / 4).collect();
                assert!(bits(&table).into_iter().eq(left), "after root {root}");
                let mut lost = LostBlocks::default();
                // SAFETY: no code reads the table.
                unsafe { gone.give_back(&mut machine, &mut lost) };
                assert!(lost.is_empty());
            }
            assert!(machine.balance().is_zero());
        }
    }
}
