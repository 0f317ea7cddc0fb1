//! The placement: descriptor *n* is element *n* of the array.
//!
//! # Invariants
//!
//! 1. The path from a descriptor to its frame reads nothing from the descriptor: it is a subtraction, and a division by
//!    the descriptor's size in bytes, which is a shift when that size is a power of two.

use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{
    ByteLen, Footprint, LeafSize, MetadataBlock, MetadataUse, Origin, PageCount, Pfn, PfnRange, PhysAddr,
    PhysRange, SectionNr, SectionPart, VirtAddr, VirtRange, ZeroIsNew,
};
use sparsemem_page_table::{EntryFormat, Exchanged, Populated, Unmapped};
#[cfg(not(sparsemem_loom))]
use sparsemem_section::ConstNew;
use sparsemem_section::{Placement, Remains, SectionTable, SectionWord, Writing};

use crate::tails::Tails;
use crate::{ArrayBase, DefaultFormat, KernelMapper};

/// Finds descriptors by their place in a virtual array that begins at `B`, on page tables of format `F`.
#[derive(Debug)]
#[repr(C)]
pub struct VirtualArray<B, F = DefaultFormat> {
    base: B,
    /// The top-level table that leads to the place, with bit 0 set, once the writer has checked the place; 0 before.
    root: AtomicU64,
    /// Bytes that leaves map, and table pages that were made for them: statistics read these counts instead of walking
    /// the tables, because such a walk would meet tables that the writer is freeing.
    leaf_bytes: AtomicU64,
    table_pages: AtomicU64,
    /// Pages that tails of folded compounds share.
    pub(crate) tails: Tails,
    format: PhantomData<fn() -> F>,
}

#[cfg(not(sparsemem_loom))]
impl<B: ConstNew, F> ConstNew for VirtualArray<B, F> {
    const NEW: Self = Self {
        base: B::NEW,
        root: AtomicU64::new(0),
        leaf_bytes: AtomicU64::new(0),
        table_pages: AtomicU64::new(0),
        tails: Tails::none(),
        format: PhantomData,
    };
}

impl<B: Default, F> Default for VirtualArray<B, F> {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        let (root, leaf_bytes, table_pages) = (zero(), zero(), zero());
        let (tails, format) = (Tails::none(), PhantomData);
        Self { base: B::default(), root, leaf_bytes, table_pages, tails, format }
    }
}

// SAFETY: as its base; zeros are zero bytes, and so is a null pointer, which is no shared page.
unsafe impl<B: ZeroIsNew, F> ZeroIsNew for VirtualArray<B, F> {}

impl<B, F> VirtualArray<B, F> {
    /// The base, which has the address of the array.
    pub const fn base(&self) -> &B {
        &self.base
    }

    /// The top-level table that leads to the place, once it is known.
    pub(crate) fn root(&self) -> Option<PhysAddr> {
        // Relaxed: only the writer asks and stores.
        let root = self.root.load(Ordering::Relaxed);
        (root != 0).then(|| PhysAddr::new(root & !1))
    }

    /// Stores the root: a table's address, so bit 0 is free.
    pub(crate) fn set_root(&self, root: PhysAddr) {
        // Relaxed: as above.
        self.root.store(root.get() | 1, Ordering::Relaxed);
    }

    /// Clears the root and gives the place up.
    ///
    /// # Safety
    ///
    /// For the writer of the model, which has nothing in the place any more.
    pub(crate) unsafe fn unsettle(&self)
    where
        B: ArrayBase,
    {
        // Relaxed: as above.
        self.root.store(0, Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { self.base.give_up() };
    }

    /// Counts leaves and tables that a populate made.
    pub(crate) fn add(&self, made: &Populated) {
        self.add_leaf_bytes(made.leaves().bytes());
        // Relaxed: counts publish nothing.
        self.table_pages.fetch_add(made.nr_tables(), Ordering::Relaxed);
    }

    /// Counts leaves that were made.
    pub(crate) fn add_leaf_bytes(&self, bytes: u64) {
        // Relaxed: counts publish nothing.
        self.leaf_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Subtracts leaves that were removed.
    pub(crate) fn subtract_leaf_bytes(&self, bytes: u64) {
        // Relaxed, both: only the writer stores, and counts publish nothing.
        let now = self.leaf_bytes.load(Ordering::Relaxed);
        self.leaf_bytes.store(now.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Counts leaves and tables that changed places.
    pub(crate) fn exchange_counts(&self, done: &Exchanged) {
        self.add_leaf_bytes(done.made().leaves().bytes());
        self.subtract_leaf_bytes(done.dropped().bytes());
        // Relaxed: counts publish nothing.
        self.table_pages.fetch_add(done.nr_tables(), Ordering::Relaxed);
    }

    /// Subtracts leaves and tables that an unmap removed: at most the current count, because the unmap may remove
    /// tables that were there before.
    pub(crate) fn subtract(&self, gone: &Unmapped) {
        for (count, less) in
            [(&self.leaf_bytes, gone.dropped().bytes()), (&self.table_pages, gone.nr_tables())]
        {
            // Relaxed, both: only the writer stores, and counts publish nothing.
            let now = count.load(Ordering::Relaxed);
            count.store(now.saturating_sub(less), Ordering::Relaxed);
        }
    }
}

impl<B: ArrayBase, F> VirtualArray<B, F> {
    /// Element `pfn` of the array, in bounds or not.
    #[inline]
    pub(crate) fn element<P>(&self, pfn: Pfn) -> *mut P {
        #[expect(clippy::cast_possible_truncation, reason = "wrapping arithmetic modulo the address space")]
        self.base.start().cast::<P>().wrapping_add(pfn.get() as usize)
    }

    /// The virtual address of frame 0's descriptor.
    pub(crate) fn start(&self) -> VirtAddr {
        VirtAddr::new(self.base.start().addr() as u64)
    }

    /// The bytes of the descriptors of `frames`, or `None` if they do not lie in the array.
    pub(crate) fn bytes_of<P>(&self, frames: PfnRange) -> Option<VirtRange> {
        let size = size_of::<P>() as u64;
        let end = frames.end().get().checked_mul(size)?;
        if end > self.base.len_bytes() {
            return None;
        }
        let start = self.start().get() + frames.start().get() * size;
        VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(frames.count().get() * size))
    }

    /// The same, as far as they lie in the array, which may end within a section; `None` if no descriptor lies in it.
    pub(crate) fn bytes_within<P>(&self, frames: PfnRange) -> Option<VirtRange> {
        let room = self.base.len_bytes() / size_of::<P>() as u64;
        self.bytes_of::<P>(frames.split_at(Pfn::new(room)).0).filter(|bytes| !bytes.is_empty())
    }

    /// The frames that have a byte of their descriptor in `bytes`, which lies in the array.
    pub(crate) fn frames_in<P>(&self, bytes: VirtRange) -> PfnRange {
        let size = size_of::<P>() as u64;
        let start = bytes.start().get().saturating_sub(self.start().get());
        let end = start.saturating_add(bytes.count().get());
        PfnRange::new(Pfn::new(start / size), Pfn::new(end.div_ceil(size))).unwrap_or_default()
    }

    /// The bytes of the array in which a retirement of `frames` unmaps leaves.
    pub(crate) fn unmapped_with<T: SectionTable>(
        writing: &Writing<'_, T, Self>,
        frames: PfnRange,
    ) -> impl Iterator<Item = VirtRange> {
        let parts = SectionPart::of::<T::Geometry>(frames);
        let parts = parts.filter(|part| writing.remains(*part) != Remains::Whole);
        parts.filter_map(|part| writing.placement().bytes_within::<T::Page>(part.frames))
    }

    /// True if a retirement of `frames` unmaps a leaf: it has no descriptor of another valid frame.
    pub(crate) fn goes_with<T: SectionTable>(
        &self,
        writing: &Writing<'_, T, Self>,
        frames: PfnRange,
        leaf: VirtRange,
    ) -> bool {
        writing.first_valid_outside(self.frames_in::<T::Page>(leaf), frames).is_none()
    }

    /// The bytes of the descriptors of a section, as far as they lie in the array.
    pub(crate) fn bytes_of_section<T: SectionTable>(&self, section: SectionNr) -> Option<VirtRange> {
        self.bytes_within::<T::Page>(section.frames::<T::Geometry>()?)
    }

    /// The array's whole range of addresses.
    pub(crate) fn window(&self) -> Option<VirtRange> {
        VirtRange::from_start_count(self.start(), ByteLen::new(self.base.len_bytes()))
    }
}

/// Reports memory that holds metadata.
pub(crate) fn visit_memory(
    of: MetadataUse,
    memory: Option<PhysRange>,
    origin: Origin,
    visit: &mut dyn FnMut(MetadataBlock),
) {
    memory.into_iter().for_each(|bytes| visit(MetadataBlock { of, bytes, origin }));
}

/// The memory of a leaf.
pub(crate) fn memory_of(at: PhysAddr, size: LeafSize) -> Option<PhysRange> {
    PhysRange::from_start_count(at, ByteLen::new(size.bytes()))
}

/// The size of the page tables that the array counts.
pub(crate) trait TableSize: 'static {
    const BYTES: u64;
}

impl<F: EntryFormat> TableSize for F {
    const BYTES: u64 = 1 << F::BASE_SHIFT;
}

/// The descriptors of `size` bytes in a page of `page` bytes, if they fill it, and thereby every page of the array.
const fn in_page(page: u64, size: u64) -> Option<PageCount> {
    if size.is_power_of_two() && size <= page { Some(PageCount::new(page / size)) } else { None }
}

/// The kernel's own tables are not the array's to count.
impl TableSize for KernelMapper {
    const BYTES: u64 = 0;
}

// SAFETY: all three methods are the same arithmetic on the same base, and elements of different frames have different
// addresses and follow each other; pointers keep the provenance of the base, which is that of the whole array.
unsafe impl<T: SectionTable, B: ArrayBase, F: TableSize> Placement<T> for VirtualArray<B, F> {
    const NAME: &'static str = "vmemmap";
    const READS_WORD: bool = false;
    const OWN_IN_COMPOUND: Option<PageCount> = in_page(F::BYTES, size_of::<T::Page>() as u64);

    #[inline]
    unsafe fn descriptor(&self, _word: SectionWord<T::Page>, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: the frame is valid, so its descriptor is a mapped element of the array, which is not at null.
        unsafe { NonNull::new_unchecked(self.element(pfn)) }
    }

    #[inline]
    unsafe fn descriptor_unchecked(&self, _table: &T, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: as in `descriptor`.
        unsafe { NonNull::new_unchecked(self.element(pfn)) }
    }

    #[inline]
    unsafe fn frame(&self, _table: &T, page: NonNull<T::Page>) -> Pfn {
        let bytes = page.addr().get().wrapping_sub(self.base.start().addr());
        Pfn::new((bytes / size_of::<T::Page>()) as u64)
    }

    fn footprint(&self, _sections: u64) -> Footprint {
        // Relaxed, both: a snapshot of two counts of which the writer may be changing one.
        let (memmap_bytes, pages) =
            (self.leaf_bytes.load(Ordering::Relaxed), self.table_pages.load(Ordering::Relaxed));
        let page_table_bytes = pages.saturating_mul(F::BYTES);
        Footprint { memmap_bytes, page_table_bytes, ..Footprint::default() }
    }

    fn torn_down(&mut self) {
        // SAFETY: `&mut`: no writer is left, and the model was torn down.
        unsafe { self.unsettle() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Claim;
    use sparsemem_core::WriterSlot;

    const START: u64 = 0x4000_0000;
    const BYTES: u64 = 4 << 20;

    /// A place that no test accesses.
    #[derive(Default)]
    struct Nowhere;

    // SAFETY: constants, multiples of 2 MiB; nothing is mapped there.
    unsafe impl ArrayBase for Nowhere {
        fn start(&self) -> *mut u8 {
            core::ptr::without_provenance_mut(usize::try_from(START).unwrap())
        }

        fn len_bytes(&self) -> u64 {
            BYTES
        }

        fn shared_writer(&self) -> Option<&'static WriterSlot> {
            None
        }

        unsafe fn claim(&self) -> Claim {
            Claim::Taken
        }
    }

    fn array() -> VirtualArray<Nowhere> {
        VirtualArray::default()
    }

    fn frames(start: u64, end: u64) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
    }

    fn bytes(start: u64, end: u64) -> VirtRange {
        VirtRange::new(VirtAddr::new(START + start), VirtAddr::new(START + end)).unwrap()
    }

    #[test]
    fn the_bytes_of_frames_end_with_the_array() {
        let array = array();
        assert_eq!(array.window(), Some(bytes(0, BYTES)));
        assert_eq!(array.bytes_of::<[u8; 64]>(frames(3, 5)), Some(bytes(192, 320)));
        let last = BYTES / 64;
        assert_eq!(array.bytes_of::<[u8; 64]>(frames(0, last)), array.window());
        assert_eq!(array.bytes_of::<[u8; 64]>(frames(last - 1, last)), Some(bytes(BYTES - 64, BYTES)));
        assert_eq!(array.bytes_of::<[u8; 64]>(frames(last - 1, last + 1)), None);
        assert_eq!(array.bytes_of::<[u8; 64]>(frames(0, u64::MAX)), None);
        assert_eq!(array.element::<[u8; 64]>(Pfn::new(3)).addr() as u64, START + 192);
    }

    /// Whole sections are taken back, also one in which the array ends.
    #[test]
    fn frames_beyond_the_array_do_not_hide_those_in_it() {
        let array = array();
        let last = BYTES / 64;
        assert_eq!(array.bytes_within::<[u8; 64]>(frames(3, 5)), Some(bytes(192, 320)));
        assert_eq!(
            array.bytes_within::<[u8; 64]>(frames(last - 1, last + 8)),
            Some(bytes(BYTES - 64, BYTES))
        );
        assert_eq!(array.bytes_within::<[u8; 64]>(frames(last, last + 8)), None);
        // The descriptor that would end beyond the array is not in it.
        assert_eq!(
            array.bytes_within::<[u8; 24]>(frames(BYTES / 24 - 1, BYTES / 24 + 8)).unwrap().count().get(),
            24
        );
    }

    /// A leaf is removed when no frame is valid that has a byte of its descriptor in it.
    #[test]
    fn every_frame_with_a_byte_in_a_leaf_is_found() {
        let array = array();
        assert_eq!(array.frames_in::<[u8; 64]>(bytes(4096, 8192)), frames(64, 128));
        // Descriptors of 24 bytes do not fill pages: the first and the last lie in two.
        assert_eq!(array.frames_in::<[u8; 24]>(bytes(0, 4096)), frames(0, 171));
        assert_eq!(array.frames_in::<[u8; 24]>(bytes(4096, 8192)), frames(170, 342));
    }

    #[test]
    fn a_root_is_known_once_it_was_told() {
        for root in [0, 0x1000, 0xffff_f000] {
            let array = array();
            assert_eq!(array.root(), None);
            array.set_root(PhysAddr::new(root));
            assert_eq!(array.root(), Some(PhysAddr::new(root)));
        }
    }
}
