//! The two-level table: an array of roots, each a page of entries, allocated when its first section appears.
//!
//! # Invariants
//!
//! 1. `N` is the geometry's number of roots; anything else does not compile.
//! 2. A root pointer is null, or leads to [`SectionShape::SECTIONS_PER_ROOT`] entries that live until a grace period
//!    after the pointer was taken out of the array.
//! 3. A root is published (Release) only after it is zeroed, and zeroed entries are absent sections.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicPtr, AtomicU8, Ordering};
use sparsemem_core::{
    ForeignBlock, Geometry, MetadataMemory, NodeId, Origin, OutOfMemory, PageDescriptor, SectionNr,
    SectionShape, Usage, ZeroIsNew,
};

use crate::give_back::give_back;
use crate::table::{Entry, Occupied, SectionTable};
use crate::{ConstNew, Occupancy, SectionEntry};

/// A table of `N` roots.
///
/// Source: Linux `SPARSEMEM_EXTREME`. Differs from Linux: roots are given back.
#[derive(Debug)]
#[repr(C)]
pub struct RootedTable<G, P, U, const N: usize> {
    roots: [AtomicPtr<SectionEntry<P, U>>; N],
    origins: [AtomicU8; N],
    occupancy: Occupancy,
    geometry: PhantomData<G>,
}

impl<G: Geometry, P: PageDescriptor, U: Usage<Geometry = G>, const N: usize> RootedTable<G, P, U, N> {
    /// How many neighbouring roots share an occupancy slot.
    const STRIDE: u64 = Occupancy::stride(G::NR_ROOTS);
    /// Bits of a section's index in its root.
    const INDEX_BITS: u32 = G::SECTIONS_PER_ROOT.trailing_zeros();

    /// A table without roots.
    #[must_use]
    pub const fn new() -> Self {
        const { G::CHECK }
        const { assert!(N == G::NR_ROOTS_LEN, "N must be the geometry's NR_ROOTS_LEN") }
        const { assert!(G::SECTIONS_PER_ROOT.is_power_of_two(), "an index in a root is a mask") }
        const { assert!(size_of::<SectionEntry<P, U>>() <= 16, "SECTIONS_PER_ROOT counts on 16-byte entries") }
        Self {
            roots: [const { AtomicPtr::new(core::ptr::null_mut()) }; N],
            origins: [const { AtomicU8::new(0) }; N],
            occupancy: Occupancy::new(),
            geometry: PhantomData,
        }
    }

    /// A root's memory: whole pages, as entries.
    fn root_layout(node: NodeId) -> Result<Layout, OutOfMemory> {
        let entries = usize::try_from(G::SECTIONS_PER_ROOT).unwrap_or(usize::MAX);
        let layout = Layout::array::<SectionEntry<P, U>>(entries).ok();
        let page = usize::try_from(G::PAGE_SIZE).unwrap_or(usize::MAX);
        layout.and_then(|layout| layout.align_to(page).ok()).ok_or(OutOfMemory {
            size: page,
            align: page,
            node,
        })
    }

    /// The root pointer and the origin of a section's root.
    fn slot(&self, nr: SectionNr) -> Option<(&AtomicPtr<SectionEntry<P, U>>, &AtomicU8)> {
        let root = usize::try_from(nr.get() >> Self::INDEX_BITS).ok()?;
        Some((self.roots.get(root)?, self.origins.get(root)?))
    }

    /// The entry at a section's index in its root.
    ///
    /// # Safety
    ///
    /// `root` must lead to a live root of this table.
    #[inline]
    unsafe fn in_root(root: *mut SectionEntry<P, U>, nr: SectionNr) -> *mut SectionEntry<P, U> {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the entries of a root")]
        let index = (nr.get() & (G::SECTIONS_PER_ROOT - 1)) as usize;
        // SAFETY: the index is below the number of entries that a root has (invariant 2).
        unsafe { root.add(index) }
    }

    /// The first known section among `from` and the rest of its root.
    fn next_in_root(&self, from: u64) -> Option<SectionNr> {
        let end = (from / G::SECTIONS_PER_ROOT + 1) * G::SECTIONS_PER_ROOT;
        (from..end.min(G::NR_SECTIONS)).map(SectionNr::new).find(|nr| {
            // SAFETY: the reference ends with this expression, and callers of walks hold what `entry` asks for.
            unsafe { self.entry(*nr) }.is_some_and(|entry| !entry.word().is_absent())
        })
    }

    /// The first known section among `from` and the rest of its occupancy slot.
    fn next_in_slot(&self, from: u64) -> Option<SectionNr> {
        let per_slot = Self::STRIDE * G::SECTIONS_PER_ROOT;
        let end = (from / per_slot + 1) * per_slot;
        let mut from = from;
        while from < end.min(G::NR_SECTIONS) {
            let (root, _) = self.slot(SectionNr::new(from))?;
            // Acquire: pairs with `ensure`.
            if !root.load(Ordering::Acquire).is_null()
                && let Some(found) = self.next_in_root(from)
            {
                return Some(found);
            }
            from = (from / G::SECTIONS_PER_ROOT + 1) * G::SECTIONS_PER_ROOT;
        }
        None
    }

    /// Takes a root out of the table, if it is there, and gives it back to `env`.
    fn give_back<E: MetadataMemory>(&mut self, index: usize, env: &mut E) -> Result<(), ForeignBlock> {
        let Some(root) = self.roots.get_mut(index).map(|root| core::mem::take(root).into_inner()) else {
            return Ok(());
        };
        let origin = self.origins.get_mut(index).map_or(0, |origin| *origin.get_mut());
        let (Some(root), Some(origin)) = (NonNull::new(root), Origin::from_code(origin)) else {
            return Ok(());
        };
        let Ok(layout) = Self::root_layout(NodeId::new(0)) else { return Ok(()) };
        // SAFETY: (1) `ensure` stored exactly the block's start, and its origin beside it; (2) the pointer was just
        // taken out under `&mut self`, so no reader and no second owner of the memory exists.
        unsafe { give_back(env, root.cast(), layout, origin) }
    }
}

impl<G: Geometry, P: PageDescriptor, U: Usage<Geometry = G>, const N: usize> Default
    for RootedTable<G, P, U, N>
{
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: a root stays in its slot from `ensure` to `release`, and an entry is found by root and index, both functions
// of the number that tell different numbers apart.
unsafe impl<G, P, U, const N: usize> SectionTable for RootedTable<G, P, U, N>
where
    G: Geometry,
    P: PageDescriptor,
    U: Usage<Geometry = G>,
{
    type Geometry = G;
    type Page = P;
    type Usage = U;

    const ENCODED_MODEL: &'static str = "sparse-extreme";

    #[inline]
    unsafe fn entry(&self, nr: SectionNr) -> Option<&Entry<Self>> {
        let root = self.roots.get(usize::try_from(nr.get() >> Self::INDEX_BITS).ok()?)?;
        // Acquire: pairs with the Release in `ensure`, so that the root's zeroed entries are seen.
        let root = root.load(Ordering::Acquire);
        if root.is_null() {
            return None;
        }
        // SAFETY: a root that is in the table is live (invariant 2), and the caller keeps it from going away.
        let entry = unsafe { Self::in_root(root, nr) };
        // SAFETY: as above; entries are valid from zero bytes on (invariant 3) and only shared references are made.
        Some(unsafe { &*entry })
    }

    #[inline]
    unsafe fn entry_unchecked(&self, nr: SectionNr) -> &Entry<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "a present section has a root below N: usize")]
        let index = (nr.get() >> Self::INDEX_BITS) as usize;
        // SAFETY: the caller promises that the section is present, so its root number is below `N`.
        let root = unsafe { self.roots.get_unchecked(index) };
        // Acquire: pairs with the Release in `ensure`.
        let root = root.load(Ordering::Acquire);
        // SAFETY: a present section has a root (word and root are published in that order).
        let entry = unsafe { Self::in_root(root, nr) };
        // SAFETY: as in `entry`.
        unsafe { &*entry }
    }

    unsafe fn ensure<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        env: &mut E,
    ) -> Result<&Entry<Self>, OutOfMemory> {
        let layout = Self::root_layout(node)?;
        let (slot, origin) = self.slot(nr).ok_or(OutOfMemory::new(layout, node))?;
        // Relaxed: only the writer stores, and the caller is the writer.
        let mut root = slot.load(Ordering::Relaxed);
        if root.is_null() {
            let block = env.alloc_zeroed(layout, node)?;
            origin.store(block.origin().code(), Ordering::Relaxed);
            root = block.start().cast().as_ptr();
            // Release: pairs with the Acquires of the lookups; the entries behind it are zeroed.
            slot.store(root, Ordering::Release);
            self.occupancy.set((nr.get() >> Self::INDEX_BITS) / Self::STRIDE);
        }
        // SAFETY: the root is live: it was there, or was just stored.
        let entry = unsafe { Self::in_root(root, nr) };
        // SAFETY: as in `entry`.
        Ok(unsafe { &*entry })
    }

    fn note(&self, _nr: SectionNr, _occupied: Occupied) {
        // Occupancy is kept per root, and changes with the roots.
    }

    fn next_known(&self, from: SectionNr) -> Option<SectionNr> {
        let per_slot = Self::STRIDE * G::SECTIONS_PER_ROOT;
        let mut from = from.get();
        loop {
            let slot = self.occupancy.next(from / per_slot)?;
            from = from.max(slot * per_slot);
            if let Some(found) = self.next_in_slot(from) {
                return Some(found);
            }
            from = (slot + 1) * per_slot;
        }
    }

    fn release<E: MetadataMemory>(&mut self, env: &mut E, refused: &mut dyn FnMut(SectionNr, ForeignBlock)) {
        while let Some(slot) = self.occupancy.next(0) {
            for root in slot * Self::STRIDE..(slot + 1) * Self::STRIDE {
                let Ok(index) = usize::try_from(root) else { continue };
                if let Err(block) = self.give_back(index, env) {
                    refused(SectionNr::new(root * G::SECTIONS_PER_ROOT), block);
                }
            }
            self.occupancy.clear(slot);
        }
    }

    fn bytes(&self) -> u64 {
        let roots = self.roots.iter().filter(|root| !root.load(Ordering::Relaxed).is_null()).count() as u64;
        size_of_val(&self.roots) as u64 + roots * G::SECTIONS_PER_ROOT * size_of::<Entry<Self>>() as u64
    }
}

// SAFETY: null pointers are zero bytes on every target that Rust supports, and so are the zero words of the
// occupancy; that is what `new` makes.
unsafe impl<G: Geometry, P, U, const N: usize> ZeroIsNew for RootedTable<G, P, U, N> {}

impl<G, P, U, const N: usize> ConstNew for RootedTable<G, P, U, N>
where
    G: Geometry,
    P: PageDescriptor,
    U: Usage<Geometry = G>,
{
    const NEW: Self = Self::new();
}
