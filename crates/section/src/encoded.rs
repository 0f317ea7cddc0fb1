//! Memmaps found through the section word: one block of memory per section.
//!
//! Source: Linux `SPARSEMEM` without `VMEMMAP`. Differs from Linux: sections may be populated in parts; the block
//! is made with the first subsection and freed with the last.
//!
//! # Invariants
//!
//! 1. A memmap is one block of [`memmap_layout`], with a descriptor for each frame of its section.
//! 2. A descriptor holds its section once it is initialised ([`SectionStamp`]); the path back to the frame reads it.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    Block, ByteLen, Footprint, Geometry, LostBlocks, MetadataBlock, MetadataMemory, MetadataUse, NodeId,
    Origin, OutOfMemory, Pfn, PfnRange, PhysRange, SectionLoss, SectionNr, SectionPart, SectionShape,
    SectionStamp, ZeroIsNew,
};

use crate::word::FREE_BITS;
use crate::{
    ConstNew, Content, Placement, Populate, PopulateRequest, Remains, SectionEntry, SectionMemmap,
    SectionTable, SectionWord, Writing,
};

/// Finds descriptors through the encoded pointer in the section word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoded;

impl ConstNew for Encoded {
    const NEW: Self = Self;
}

// SAFETY: a zero-sized value has no bytes.
unsafe impl ZeroIsNew for Encoded {}

/// True if the low bits of an encoded memmap pointer are free, whatever page the memmap begins on.
const fn leaves_flag_bits<T: SectionTable>() -> bool {
    let size = size_of::<T::Page>();
    let low_zeros = T::Geometry::PFN_SECTION_SHIFT + size.trailing_zeros();
    size > 0 && low_zeros >= FREE_BITS && T::Geometry::PAGE_SHIFT >= FREE_BITS
}

/// True if the path back works: a descriptor's distance from that of frame 0, modulo the target's addresses.
const fn frames_have_distances<T: SectionTable>() -> bool {
    match T::Geometry::MAX_PFN.checked_mul(size_of::<T::Page>() as u64) {
        Some(bytes) => bytes <= usize::MAX as u64,
        None => false,
    }
}

/// The block of a section's memmap: a descriptor per frame, on a page border.
fn memmap_layout<T: SectionTable>(node: NodeId) -> Result<Layout, OutOfMemory> {
    let frames = usize::try_from(T::Geometry::PAGES_PER_SECTION).unwrap_or(usize::MAX);
    let page = usize::try_from(T::Geometry::PAGE_SIZE).unwrap_or(usize::MAX);
    Layout::array::<T::Page>(frames)
        .and_then(|layout| layout.align_to(page))
        .map(|layout| layout.pad_to_align())
        .map_err(|_| OutOfMemory { size: usize::MAX, align: page, node })
}

/// Bytes of such a block, for the footprint.
fn memmap_bytes<T: SectionTable>() -> u64 {
    memmap_layout::<T>(NodeId::new(0)).map_or(0, |layout| layout.size() as u64)
}

// SAFETY: the word holds the section's own block, moved back by the section's first frame (`SectionWord::mapped`), so
// all three methods lead to the block's descriptor of that frame; pointers keep the provenance of the whole block.
unsafe impl<T: SectionTable<Page: SectionStamp>> Placement<T> for Encoded {
    const NAME: &'static str = T::ENCODED_MODEL;

    #[inline]
    unsafe fn descriptor(&self, word: SectionWord<T::Page>, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: the pointer leads into the section's block, which is not at address zero.
        unsafe { NonNull::new_unchecked(word.descriptor(pfn)) }
    }

    #[inline]
    unsafe fn descriptor_unchecked(&self, table: &T, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: a valid frame's section is present.
        let entry = unsafe { table.entry_unchecked(pfn.section::<T::Geometry>()) };
        // SAFETY: a valid frame's section has a memmap.
        unsafe { <Self as Placement<T>>::descriptor(self, entry.word(), pfn) }
    }

    #[inline]
    unsafe fn frame(&self, table: &T, page: NonNull<T::Page>) -> Pfn {
        // SAFETY: the caller promises a descriptor that is mapped and initialised.
        let section = unsafe { page.as_ref() }.section();
        debug_assert!(
            is_in_memmap_of(table, section, page),
            "the descriptor at {page:p} is not in the memmap of section {section}, with which it is stamped: it was not \
             initialised before its frame was asked for (`initialise`)"
        );
        // SAFETY: the stamp is the section of the frame (invariant 2), which is valid, so present.
        let entry = unsafe { table.entry_unchecked(section) };
        entry.word().frame(page.as_ptr())
    }

    fn footprint(&self, sections: u64) -> Footprint {
        Footprint { memmap_bytes: sections.saturating_mul(memmap_bytes::<T>()), ..Footprint::default() }
    }
}

// SAFETY: the block of a memmap is zeroed, exclusively owned and lives until it is given back in `depopulate`.
unsafe impl<T: SectionTable<Page: SectionStamp>, E: MetadataMemory> Populate<T, E> for Encoded {
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        _lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        const { assert!(leaves_flag_bits::<T>(), "descriptors of this size leave no room for the section flags") }
        const {
            assert!(
                frames_have_distances::<T>(),
                "distances of descriptors do not fit an address of this target"
            );
        }
        if let Some(memmap) = writing.memmap_of(request.section) {
            return Ok(memmap);
        }
        let layout = memmap_layout::<T>(request.node).map_err(SectionLoss::Memmap)?;
        let block = env.alloc_memmap(layout, request.node).map_err(SectionLoss::Memmap)?;
        Ok(memmap_in::<T>(&block))
    }

    fn beforehand(&self, _env: &E, request: &PopulateRequest) -> Option<Layout> {
        memmap_layout::<T>(request.node).ok()
    }

    fn populate_with(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        block: &mut Option<Block>,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        match block.take() {
            Some(block) => Ok(memmap_in::<T>(&block)),
            None => Self::populate(writing, env, request, lost),
        }
    }

    unsafe fn depopulate(
        _writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        _frames: PfnRange,
        memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) {
        let Ok(layout) = memmap_layout::<T>(NodeId::new(0)) else { return };
        // SAFETY: `populate` took exactly this block apart, and the caller promises that no other code uses it any
        // more.
        unsafe { lost.give_back(env, memmap.first.cast(), layout, memmap.origin) };
    }

    unsafe fn shrink(
        _writing: &mut Writing<'_, T, Self>,
        _env: &mut E,
        _frames: PfnRange,
        _lost: &mut LostBlocks,
    ) {
        // The block is freed with the section's last subsection.
    }

    fn each_block(
        writing: &Writing<'_, T, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let Some(memmap) = writing.memmap_of(section) else { return };
        let block = block_of::<T, E>(env, memmap.first);
        let of = MetadataUse::Memmap;
        block.into_iter().for_each(|bytes| visit(MetadataBlock { of, bytes, origin: memmap.origin }));
    }

    fn other_altmap(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PhysRange> {
        // The block goes with the last subsection.
        let gone = SectionPart::of::<T::Geometry>(frames)
            .filter(|part| writing.remains(*part) == Remains::Nothing)
            .filter_map(|part| writing.memmap_of(part.section))
            .filter(|memmap| memmap.origin == Origin::Altmap);
        gone.filter_map(|memmap| block_of::<T, E>(env, memmap.first)).find(|block| !env.has_altmap(*block))
    }

    fn needed_by(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PfnRange> {
        let inside = frames.bytes::<T::Geometry>()?;
        writing.sections_in_altmaps().find_map(|(nr, memmap)| {
            let block = block_of::<T, E>(env, memmap.first)?;
            let section = nr.frames::<T::Geometry>().filter(|_| block.overlaps(inside))?;
            writing.first_valid_outside(section, frames)
        })
    }
}

/// True if a section has a memmap and a descriptor lies in it. No other section's descriptor does, so a stamp for which
/// this is true is right.
fn is_in_memmap_of<T: SectionTable>(table: &T, section: SectionNr, page: NonNull<T::Page>) -> bool {
    // SAFETY: if the stamp is right, the frame is valid, which keeps its root; this is for debug builds, which may find
    // out that it is not.
    let word = unsafe { table.entry(section) }.map(SectionEntry::word).filter(|word| word.has_memmap());
    word.is_some_and(|word| word.frame(page.as_ptr()).section::<T::Geometry>() == section)
}

/// A memmap in a block that was just allocated for it.
fn memmap_in<T: SectionTable>(block: &Block) -> SectionMemmap<T::Page> {
    SectionMemmap { first: block.start().cast(), origin: block.origin(), content: Content::Zero }
}

/// The bytes of the block of a memmap.
fn block_of<T: SectionTable, E: MetadataMemory>(env: &E, first: NonNull<T::Page>) -> Option<PhysRange> {
    PhysRange::from_start_count(env.virt_to_phys(first.cast())?, ByteLen::new(memmap_bytes::<T>()))
}
