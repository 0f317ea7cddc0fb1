//! A root in memory: entries, and planes behind them if the table's type says so; and the slot that the table keeps for
//! it.
//!
//! # Invariants
//!
//! 1. A root's block has a page of entries; with planes in roots, behind it the plane of valid subsections, and behind that
//!    the plane of online ones.
//! 2. Without planes, the slot of a root holds its address. With planes it holds the address of the first plane, moved back by
//!    the bits of all sections before the root, and one byte on: a lookup adds the number of its section and needs no mask,
//!    and no slot of a root is null.

use core::alloc::Layout;

use sparsemem_core::{Geometry, NodeId, OutOfMemory, PageDescriptor, SectionNr, SectionShape};
use sparsemem_usage_map::SubsectionMap;

use crate::validity::{Kept, Plane, Validity};
use crate::{RootedTable, SectionEntry};

impl<G: Geometry, P: PageDescriptor, const N: usize, V: Validity<G>> RootedTable<G, P, N, V> {
    /// True if roots have planes.
    pub(crate) const PLANES: bool = matches!(V::KEPT, Kept::InRoots);
    /// Bytes of a root's entries.
    pub(crate) const ENTRY_BYTES: usize = Self::in_root_bytes::<SectionEntry<P, G>>();
    /// Bytes of one plane of a root.
    pub(crate) const PLANE_BYTES: usize =
        if Self::PLANES { Self::in_root_bytes::<SubsectionMap<G>>() } else { 0 };

    /// Bytes of a `T` for each section of a root.
    const fn in_root_bytes<T>() -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a root has no more entries than a page has bytes"
        )]
        let sections = G::SECTIONS_PER_ROOT as usize;
        size_of::<T>() * sections
    }

    /// A root's memory: a page of entries, and the planes.
    pub(crate) fn root_layout(node: NodeId) -> Result<Layout, OutOfMemory> {
        let bytes = Self::ENTRY_BYTES + 2 * Self::PLANE_BYTES;
        let page = usize::try_from(G::PAGE_SIZE).unwrap_or(usize::MAX);
        Layout::from_size_align(bytes, page).map_err(|_| OutOfMemory { size: bytes, align: page, node })
    }

    /// Bytes of the bits of all sections before the root of a section.
    #[inline]
    fn bytes_before(nr: SectionNr) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "wrapping arithmetic modulo the address space")]
        let first = (nr.get() & !(G::SECTIONS_PER_ROOT - 1)) as usize;
        first.wrapping_mul(size_of::<SubsectionMap<G>>())
    }

    /// The content of a slot for the root of a section (invariant 2).
    #[inline]
    pub(crate) fn slot_of(root: *mut SectionEntry<P, G>, nr: SectionNr) -> *mut SectionEntry<P, G> {
        if Self::PLANES {
            return root.wrapping_byte_add(Self::ENTRY_BYTES + 1).wrapping_byte_sub(Self::bytes_before(nr));
        }
        root
    }

    /// The root of a section, from the content of its slot, which is not null.
    #[inline]
    pub(crate) fn root_of(slot: *mut SectionEntry<P, G>, nr: SectionNr) -> *mut SectionEntry<P, G> {
        if Self::PLANES {
            return slot.wrapping_byte_add(Self::bytes_before(nr)).wrapping_byte_sub(Self::ENTRY_BYTES + 1);
        }
        slot
    }

    /// The bits of a section in a plane of its root, from the content of the slot, which is not null.
    #[inline]
    pub(crate) fn in_slot(
        slot: *mut SectionEntry<P, G>,
        plane: Plane,
        nr: SectionNr,
    ) -> *const SubsectionMap<G> {
        let behind = match plane {
            Plane::Valid => 0,
            Plane::Online => Self::PLANE_BYTES,
        };
        #[expect(clippy::cast_possible_truncation, reason = "wrapping arithmetic modulo the address space")]
        slot.cast::<SubsectionMap<G>>()
            .wrapping_add(nr.get() as usize)
            .wrapping_byte_add(behind)
            .wrapping_byte_sub(1)
    }

    /// Makes every entry and every bit of a new root absent. Zeroed memory is that already, except on the atomics of a model
    /// checker.
    ///
    /// # Safety
    ///
    /// `root` has room for a root and is zeroed, and no other code knows it.
    #[cfg_attr(not(sparsemem_loom), expect(unused_variables, reason = "zero bytes are absent entries"))]
    pub(crate) unsafe fn write_root(root: *mut SectionEntry<P, G>) {
        #[cfg(sparsemem_loom)]
        for index in (0..G::SECTIONS_PER_ROOT).map(SectionNr::new) {
            // SAFETY: the caller promises the room.
            unsafe { Self::in_root(root, index).write(SectionEntry::absent()) };
            for plane in [Plane::Valid, Plane::Online].into_iter().filter(|_| Self::PLANES) {
                let slot = Self::slot_of(root, SectionNr::new(0));
                // SAFETY: as above.
                unsafe { Self::in_slot(slot, plane, index).cast_mut().write(SubsectionMap::new()) };
            }
        }
    }

    /// The entry at a section's index in its root.
    ///
    /// # Safety
    ///
    /// `root` must lead to a live root of this table.
    #[inline]
    pub(crate) unsafe fn in_root(root: *mut SectionEntry<P, G>, nr: SectionNr) -> *mut SectionEntry<P, G> {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the entries of a root")]
        let index = (nr.get() & (G::SECTIONS_PER_ROOT - 1)) as usize;
        // SAFETY: the index is below the number of entries that a root has (rooted, invariant 2).
        unsafe { root.add(index) }
    }
}
