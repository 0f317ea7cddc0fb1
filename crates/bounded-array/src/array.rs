//! The array: one block with a head, a record per section, and a descriptor per frame.
//!
//! # Invariants
//!
//! 1. The head never changes, and records and descriptors are in its block. So whoever may use the head may use both.
//! 2. Flags with `HAS_MEM_MAP` are stored (Release) after the usage has its bits and the descriptors are zero.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicU8, AtomicU32, Ordering};
use sparsemem_core::{
    ByteLen, Geometry, LostBlocks, MetadataMemory, NodeId, Origin, OutOfMemory, Pfn, PfnRange, SectionFlags,
    SectionNr, SectionShape,
};
use sparsemem_usage_map::SectionUsage;

use crate::index::{Extent, FrameIndex};

/// The record of one section.
pub(crate) struct Section<G: Geometry> {
    flags: AtomicU8,
    /// The node of an early section; for the writer alone.
    node: AtomicU32,
    pub(crate) usage: SectionUsage<G>,
}

impl<G: Geometry> Section<G> {
    fn new(origin: Origin) -> Self {
        Self { flags: AtomicU8::new(0), node: AtomicU32::new(0), usage: SectionUsage::new(origin) }
    }

    /// The flags; empty if the section is absent.
    #[inline]
    pub(crate) fn flags(&self) -> SectionFlags {
        // Acquire: pairs with the Release in `set_flags`.
        SectionFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Stores the flags; for the writer of the model.
    pub(crate) fn set_flags(&self, flags: SectionFlags) {
        // Release: pairs with the Acquire in `flags`, so that bits and descriptors are seen (invariant 2).
        self.flags.store(flags.bits(), Ordering::Release);
    }

    /// The node that an early section was reported with first.
    pub(crate) fn node(&self) -> NodeId {
        // Relaxed: only the writer loads and stores.
        NodeId::new(self.node.load(Ordering::Relaxed))
    }

    /// Stores the node.
    pub(crate) fn set_node(&self, node: NodeId) {
        // Relaxed: as above.
        self.node.store(node.get(), Ordering::Relaxed);
    }

    /// True if a frame of this section is valid. All frames of an early section are, as in Linux (O-100).
    #[inline]
    pub(crate) fn covers(&self, pfn: Pfn) -> bool {
        let flags = self.flags();
        flags.contains(SectionFlags::HAS_MEM_MAP)
            && (flags.contains(SectionFlags::EARLY) || self.usage.contains(pfn.subsection::<G>()))
    }
}

/// The head of the block.
pub(crate) struct Array<G: Geometry, P, I> {
    pub(crate) extent: Extent<I>,
    records: NonNull<Section<G>>,
    descriptors: NonNull<P>,
    layout: Layout,
    origin: Origin,
}

impl<G: Geometry, P, I: FrameIndex> Array<G, P, I> {
    /// An array in which every section is absent, and every descriptor zero.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; nothing has changed then.
    pub(crate) fn allocate<E: MetadataMemory>(
        env: &mut E,
        extent: Extent<I>,
        node: NodeId,
    ) -> Result<NonNull<Self>, OutOfMemory> {
        let (layout, [to_records, to_descriptors]) = Self::layout_for(&extent, node)?;
        // Never from an altmap: the array serves frames of other memory than the device's, and outlives the device.
        let block = env.alloc_zeroed(layout, node)?;
        let (start, origin) = (block.start(), block.origin());
        // SAFETY: the layout has the records at this distance.
        let records = unsafe { start.add(to_records) }.cast::<Section<G>>();
        // SAFETY: the layout has the descriptors at this distance.
        let descriptors = unsafe { start.add(to_descriptors) }.cast::<P>();
        let count = extent.sections::<G>();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the records lie in a block, so their count is a usize"
        )]
        for slot in 0..count as usize {
            // SAFETY: the layout has `count` records.
            let record = unsafe { records.add(slot) };
            // SAFETY: the block is exclusively owned, and aligned for records.
            unsafe { record.write(Section::new(origin)) };
        }
        let head = start.cast::<Self>();
        // SAFETY: as above: the block begins with the head.
        unsafe { head.write(Self { extent, records, descriptors, layout, origin }) };
        Ok(head)
    }

    /// The block of the array, and where in it the records and the descriptors begin, in bytes.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], if the target has no addresses for so many descriptors.
    pub(crate) fn layout_for(extent: &Extent<I>, node: NodeId) -> Result<(Layout, [usize; 2]), OutOfMemory> {
        let page = usize::try_from(G::PAGE_SIZE).unwrap_or(usize::MAX);
        let len = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let joined = || {
            let records = Layout::array::<Section<G>>(len(extent.sections::<G>()))?;
            let descriptors = Layout::array::<P>(len(extent.count))?.align_to(page)?;
            let (block, to_records) = Layout::new::<Self>().extend(records)?;
            let (block, to_descriptors) = block.extend(descriptors)?;
            Ok((block.pad_to_align(), [to_records, to_descriptors]))
        };
        joined().map_err(|_: core::alloc::LayoutError| OutOfMemory { size: usize::MAX, align: page, node })
    }

    /// Gives the block back.
    ///
    /// # Safety
    ///
    /// `array` is from [`Array::allocate`], no other code can find it, and no reader uses it.
    pub(crate) unsafe fn give_back<E: MetadataMemory>(
        array: NonNull<Self>,
        env: &mut E,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the head is live until the block is given back.
        let &Self { layout, origin, .. } = unsafe { array.as_ref() };
        // SAFETY: start, layout and origin are those of the block that `allocate` took apart, and the caller owns it.
        unsafe { lost.give_back(env, array.cast(), layout, origin) };
    }

    /// The record of a frame's section and the place of its descriptor, if the array has them.
    #[inline]
    pub(crate) fn find(&self, pfn: Pfn) -> Option<(&Section<G>, NonNull<P>)> {
        let offset = self.extent.offset(pfn)?;
        // SAFETY: the offset is inside the extent, which has a record for each of its sections.
        let record = unsafe { self.record(offset >> G::PFN_SECTION_SHIFT) };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the descriptors lie in a block, so their count is a usize"
        )]
        // SAFETY: as above, with a descriptor for each of its elements.
        let descriptor = unsafe { self.descriptors.add(offset as usize) };
        Some((record, descriptor))
    }

    /// The record in a slot.
    ///
    /// # Safety
    ///
    /// The slot is below the number of sections.
    #[inline]
    unsafe fn record(&self, slot: u64) -> &Section<G> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the records lie in a block, so their count is a usize"
        )]
        // SAFETY: the caller's promise.
        let record = unsafe { self.records.add(slot as usize) };
        // SAFETY: `allocate` wrote it, and it is only changed by atomic stores (invariant 1).
        unsafe { record.as_ref() }
    }

    /// The record of a section, if the array has it.
    pub(crate) fn section(&self, nr: SectionNr) -> Option<&Section<G>> {
        self.find(nr.first_pfn::<G>()?).map(|(section, _)| section)
    }

    /// The address that the descriptor of element 0 has, or would have.
    pub(crate) fn origin(&self) -> *mut P {
        #[expect(clippy::cast_possible_truncation, reason = "wrapping arithmetic modulo the address space")]
        self.descriptors.as_ptr().wrapping_sub(self.extent.first as usize)
    }

    /// The first section at or after `from` that is present, with its record.
    ///
    /// # Cost
    ///
    /// A load for each section of the array that is skipped.
    pub(crate) fn next_present(&self, from: SectionNr) -> Option<(SectionNr, &Section<G>)> {
        let shift = G::PFN_SECTION_SHIFT;
        let slot = match self.extent.offset(from.first_pfn::<G>()?) {
            Some(offset) => offset >> shift,
            None => self.first_slot_after(from)?,
        };
        (slot..self.extent.sections::<G>()).find_map(|slot| {
            // SAFETY: the slot is below the number of sections.
            let record = unsafe { self.record(slot) };
            let nr = || self.extent.index.frame(self.extent.first + (slot << shift)).section::<G>();
            (!record.flags().is_empty()).then(|| (nr(), record))
        })
    }

    /// The first slot whose section is after `from`, which has none itself.
    fn first_slot_after(&self, from: SectionNr) -> Option<u64> {
        let shift = G::PFN_SECTION_SHIFT;
        let nr = |slot: u64| self.extent.index.frame(self.extent.first + (slot << shift)).section::<G>();
        let (mut low, mut high) = (0, self.extent.sections::<G>());
        while low < high {
            let middle = low + (high - low) / 2;
            if nr(middle) < from { low = middle + 1 } else { high = middle }
        }
        (low < self.extent.sections::<G>()).then_some(low)
    }

    /// Zeroes the descriptors of `frames`, which lie in one section.
    ///
    /// # Safety
    ///
    /// No frame of them is valid, and no reader holds a descriptor of them.
    pub(crate) unsafe fn clear(&self, frames: PfnRange) {
        let Some((_, first)) = self.find(frames.start()) else { return };
        let count = usize::try_from(frames.count().get()).unwrap_or(0);
        // SAFETY: the frames of a section have successive elements, and the caller says that no other code uses them.
        unsafe { first.write_bytes(0, count) };
    }

    /// The block, which begins with the head: start, length and origin.
    pub(crate) fn block(&self) -> (NonNull<u8>, ByteLen, Origin) {
        (NonNull::from(self).cast(), ByteLen::new(self.layout.size() as u64), self.origin)
    }

    /// Bytes of the head and the records without their usages, of the usages, and of the descriptors.
    pub(crate) fn bytes(&self) -> [u64; 3] {
        let usages = self.extent.sections::<G>() * size_of::<SectionUsage<G>>() as u64;
        let descriptors = self.extent.count * size_of::<P>() as u64;
        [self.layout.size() as u64 - usages - descriptors, usages, descriptors]
    }
}
