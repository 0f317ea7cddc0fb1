//! The number of frames that the memmap of a request takes.
//!
//! Linux does not compute it: it finds an altmap too small only in the middle of adding (A-08, D-02).

use sparsemem_core::{
    LeafSize, MemoryModel, PageCount, Pfn, PfnRange, SectionFlags, SectionNr, SectionShape,
};

/// The layout of a model's memmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemmapRule {
    /// A block per section, allocated with its first subsection: models whose section words lead to the memmap.
    SectionBlocks,
    /// Leaves of a virtual array, at worst base pages: vmemmap.
    ArrayLeaves,
}

/// The number of frames from `start` on that the memmap of `request` takes, with alignment, in addition to the memmap
/// that `model` has already. `None` if the number does not fit, or the request reaches beyond the geometry's maximum.
///
/// For [`MemmapRule::SectionBlocks`] the number is exact. For [`MemmapRule::ArrayLeaves`] it is the number for base
/// pages: large leaves may have to be split to fit into the altmap, and where a frame is larger than a base page, that
/// takes more frames.
#[must_use]
pub fn room_needed<M: MemoryModel>(
    model: &M,
    rule: MemmapRule,
    start: Pfn,
    request: PfnRange,
) -> Option<PageCount> {
    if request.end().get() > M::Geometry::MAX_PFN {
        return None;
    }
    let frames = match rule {
        MemmapRule::SectionBlocks => section_blocks(model, start, request)?,
        MemmapRule::ArrayLeaves => array_leaves(model, request)?,
    };
    Some(PageCount::new(frames))
}

/// Frames for a naturally aligned block per section that has no memmap.
fn section_blocks<M: MemoryModel>(model: &M, start: Pfn, request: PfnRange) -> Option<u64> {
    let bytes = M::Geometry::PAGES_PER_SECTION.checked_mul(size_of::<M::Page>() as u64)?;
    let count = bytes.div_ceil(M::Geometry::PAGE_SIZE);
    let align = 1u64 << count.checked_ilog2().map_or(0, |_| count.trailing_zeros());
    let mut end = start.get();
    for (nr, _) in request.by_section::<M::Geometry>() {
        if !model.section(nr).flags.contains(SectionFlags::HAS_MEM_MAP) {
            end = end.checked_next_multiple_of(align)?.checked_add(count)?;
        }
    }
    Some(end - start.get())
}

/// Frames for the base pages of the array that no valid frame needs yet.
fn array_leaves<M: MemoryModel>(model: &M, request: PfnRange) -> Option<u64> {
    let mut runs = BaseRuns::<M> { model, next: 0, pages: 0 };
    for (nr, part) in request.by_section::<M::Geometry>() {
        if !is_early(model, nr) {
            runs.add(part)?;
        }
    }
    // A base page takes a frame, however large a frame is.
    let frames_per_page = LeafSize::Size4KiB.bytes().div_ceil(M::Geometry::PAGE_SIZE);
    runs.pages.checked_mul(frames_per_page)
}

/// True if a section has a memmap of boot, which covers it as a whole.
fn is_early<M: MemoryModel>(model: &M, nr: SectionNr) -> bool {
    model.section(nr).flags.contains(SectionFlags::EARLY | SectionFlags::HAS_MEM_MAP)
}

/// Counts base pages of the array, each once.
struct BaseRuns<'m, M> {
    model: &'m M,
    /// The first page that was not visited yet.
    next: u64,
    pages: u64,
}

impl<M: MemoryModel> BaseRuns<'_, M> {
    /// Adds the pages of the descriptors of `part`, which lies after all parts that were added before.
    fn add(&mut self, part: PfnRange) -> Option<()> {
        let size = size_of::<M::Page>() as u64;
        let base = LeafSize::Size4KiB.bytes();
        let first = (part.start().get().checked_mul(size)? / base).max(self.next);
        let end = part.end().get().checked_mul(size)?.div_ceil(base).max(first);
        self.next = end;
        self.pages += end - first;
        if end == first {
            return Some(());
        }
        // Pages between the outer two hold descriptors of the request only.
        let borders = if end - first == 1 { [Some(first), None] } else { [Some(first), Some(end - 1)] };
        for page in borders.into_iter().flatten() {
            self.pages -= u64::from(self.is_mapped(page)?);
        }
        Some(())
    }

    /// True if a page of the array holds the descriptor of a valid frame. `None` if the page ends beyond all addresses.
    fn is_mapped(&self, page: u64) -> Option<bool> {
        let size = (size_of::<M::Page>() as u64).max(1);
        let start = page.checked_mul(LeafSize::Size4KiB.bytes())?;
        let end = start.checked_add(LeafSize::Size4KiB.bytes())?.div_ceil(size);
        let frames = PfnRange::new(Pfn::new(start / size), Pfn::new(end)).ok()?;
        Some(self.model.next_valid(frames).is_some())
    }
}
