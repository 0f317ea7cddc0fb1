//! Lookups and walks; and what the model says of its sections' metadata: where it lies, which is in the one block of the array,
//! and the pageblock flags in it.

use core::ptr::NonNull;

use sparsemem_core::{
    ByteLen, Footprint, Geometry, MemoryModel, MemoryRange, MetadataBlock, MetadataMemory, MetadataModel,
    MetadataUse, PageDescriptor, Pfn, PfnRange, PhysRange, Reclaim, SectionFlags, SectionNr, SectionShape,
    SectionState, Writer, WriterSlot,
};
use sparsemem_usage_map::{Pageblock, PageblockModel};

use crate::{ArrayModel, FrameIndex};

// SAFETY: (1) a checked lookup returns a descriptor only for a frame whose section's flags and bits say that it is
// valid; they are stored after the descriptors are zero (array, invariant 2). (2) The block of the descriptors is given
// back only after a grace period since no section was present any more, or with `&mut` of the model, and descriptors
// are zeroed only before their frame becomes valid, a grace period after it was valid the last time. (3) The numbering
// gives frames different elements, and those of a section one after the other. (4) Validity is kept per subsection, or
// per section. (5) The writer slot is a private field, and everything that changes the model takes its `Writer` or
// `&mut` of the model.
unsafe impl<G, P, R, I> MemoryModel for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
{
    type Geometry = G;
    type Page = P;
    type Reclaim = R;

    fn name(&self) -> &'static str {
        I::NAME
    }

    #[inline]
    fn lookup_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<P>> {
        let (section, descriptor) = self.array(guard)?.find(pfn)?;
        section.covers(pfn).then_some(descriptor)
    }

    #[inline]
    fn lookup_online_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<P>> {
        let (section, descriptor) = self.array(guard)?.find(pfn)?;
        let wanted = SectionFlags::HAS_MEM_MAP.union(SectionFlags::ONLINE);
        let online = section.flags().contains(wanted) && section.usage.is_online(pfn.subsection::<G>());
        online.then_some(descriptor)
    }

    #[inline]
    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<P> {
        // SAFETY: the frame is valid, so there is an array, which stays meanwhile.
        let element = unsafe { self.index() }.element(pfn);
        #[expect(clippy::cast_possible_truncation, reason = "wrapping arithmetic modulo the address space")]
        let descriptor = self.origin().wrapping_add(element as usize);
        // SAFETY: a valid frame's element lies in the array's block, which is not at null.
        unsafe { NonNull::new_unchecked(descriptor) }
    }

    #[inline]
    unsafe fn pfn_of(&self, page: NonNull<P>) -> Pfn {
        let bytes = page.addr().get().wrapping_sub(self.origin().addr());
        // SAFETY: the frame of the descriptor is valid, so there is an array, which stays meanwhile.
        unsafe { self.index() }.frame((bytes / size_of::<P>()) as u64)
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let guard = R::enter();
        let record = self.array(&guard).and_then(|array| array.section(nr));
        let Some(record) = record.filter(|record| !record.flags().is_empty()) else {
            return SectionState::ABSENT;
        };
        SectionState {
            flags: record.flags(),
            early_node: None,
            subsections: record.usage.snapshot(),
            online: record.usage.online(),
        }
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        let guard = R::enter();
        self.array(&guard)?.next_present(from).map(|(nr, _)| nr)
    }

    fn writer_slot(&self) -> &WriterSlot {
        self.slot()
    }

    fn footprint(&self) -> Footprint {
        let guard = R::enter();
        let [others, usage_bytes, memmap_bytes] =
            self.array(&guard).map_or([0; 3], super::array::Array::bytes);
        let table_bytes = size_of::<Self>() as u64 + others;
        Footprint { table_bytes, usage_bytes, memmap_bytes, ..Footprint::default() }
    }

    /// Frames outside the array cannot be installed
    /// ([`SectionLoss::BeyondArray`](sparsemem_core::SectionLoss::BeyondArray)).
    ///
    /// ```
    /// use sparsemem_bounded_array::{ArrayModel, Straight};
    /// use sparsemem_core::presets::X86_64;
    /// use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn, PfnRange};
    ///
    /// let model = ArrayModel::<X86_64, Page, NeverReclaim, Straight>::new();
    /// let slots = PfnRange::new(Pfn::new(0x10_0000), Pfn::new(0x20_0000))?;
    /// model.write().unwrap().reserve(slots);
    /// # Ok::<(), sparsemem_core::ReversedRange>(())
    /// ```
    fn reserve(writer: &mut Writer<'_, Self>, frames: PfnRange) {
        writer.model().set_reserve(frames);
    }

    /// The whole array, holes and the reserve included: what the one block of a boot takes, and a page to align it.
    fn boot_bytes<M: Iterator<Item = MemoryRange> + Clone>(&self, memory: M) -> ByteLen {
        let block = self.block_for(&memory).map_or(0, |block| block.size() as u64);
        ByteLen::new(block.checked_add(G::PAGE_SIZE).filter(|_| block > 0).unwrap_or(block))
    }
}

impl<G, P, R, I, E> MetadataModel<E> for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
    E: MetadataMemory,
{
    fn each_metadata(
        writer: &mut Writer<'_, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let Some(array) = Self::array_of(writer) else { return };
        let is_present = array.section(section).is_some_and(|section| !section.flags().is_empty());
        let (start, len, origin) = array.block();
        let bytes = env.virt_to_phys(start).and_then(|at| PhysRange::from_start_count(at, len));
        let block = bytes.map(|bytes| MetadataBlock { of: MetadataUse::Memmap, bytes, origin });
        block.into_iter().filter(|_| is_present).for_each(visit);
    }
}

impl<G, P, R, I> PageblockModel for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
{
    fn pageblock<'g>(&'g self, pfn: Pfn, guard: &'g R::Guard) -> Option<Pageblock<'g, G>> {
        let (section, _) = self.array(guard)?.find(pfn)?;
        section.flags().contains(SectionFlags::HAS_MEM_MAP).then(|| section.usage.pageblock(pfn))
    }
}
