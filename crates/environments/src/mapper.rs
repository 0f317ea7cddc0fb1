//! The page tables of a kernel that maps by the crate `x86_64`, as the mapper of a virtual array.
//!
//! Nobody but the kernel's own code writes an entry then. What that loses against the entry formats of this project is
//! listed in the documentation of [`KernelMapper`](sparsemem_vmemmap::KernelMapper), and with this mapper besides: tables
//! that an array's mappings needed stay when the mappings go (`x86_64` gives them back by `CleanUp`), a mapping that fails
//! for want of memory leaves the tables that it had made, and there are no mappings of 1 GiB, and no fifth level.

use sparsemem_core::{
    ByteLen, LeafSize, LinkRefused, MetadataMemory, Origin, PhysAddr, PhysMap, VirtAddr, VirtRange,
    forward_to_field,
};
use sparsemem_vmemmap::{Mapped, Mapper};
use x86_64::structures::paging::mapper::{MappedFrame, TranslateResult};
use x86_64::structures::paging::{
    FrameAllocator, Mapper as _, OffsetPageTable, Page, PageSize, PageTableFlags, PhysFrame, Size1GiB,
    Size2MiB, Size4KiB, Translate,
};

/// An environment `E` whose memory is mapped for a virtual array by an [`OffsetPageTable`], with tables from `A`.
#[derive(Debug)]
pub struct OffsetMapper<'t, A, E> {
    tables: OffsetPageTable<'t>,
    frames: A,
    env: E,
    origin: Origin,
    forget: fn(VirtRange),
}

impl<'t, A: FrameAllocator<Size4KiB>, E: MetadataMemory> OffsetMapper<'t, A, E> {
    /// A mapper. All blocks of `env` are of `origin`; `forget` makes every processor drop its translations of a range.
    ///
    /// # Safety
    ///
    /// The tables are those that every processor uses, nobody else maps or unmaps in the array's place, and `env` gives
    /// blocks of no other origin.
    pub const unsafe fn new(
        tables: OffsetPageTable<'t>,
        frames: A,
        env: E,
        origin: Origin,
        forget: fn(VirtRange),
    ) -> Self {
        Self { tables, frames, env, origin, forget }
    }

    /// Maps one page of one size.
    fn map_page<S: PageSize>(&mut self, at: VirtAddr, to: PhysAddr) -> Option<()>
    where
        OffsetPageTable<'t>: x86_64::structures::paging::Mapper<S>,
    {
        let page = page::<S>(at)?;
        let frame = PhysFrame::<S>::from_start_address(x86_64::PhysAddr::try_new(to.get()).ok()?).ok()?;
        let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE;
        // SAFETY: the frame is a block that the model owns, and nobody else has this page.
        let mapped = unsafe { self.tables.map_to(page, frame, flags, &mut self.frames) };
        mapped.ok()?.ignore(); // a processor of x86_64 remembers no page that was not mapped
        Some(())
    }

    /// Unmaps one page of one size.
    fn unmap_page<S: PageSize>(&mut self, at: VirtAddr)
    where
        OffsetPageTable<'t>: x86_64::structures::paging::Mapper<S>,
    {
        if let Some(Ok((_, flush))) = page::<S>(at).map(|page| self.tables.unmap(page)) {
            flush.ignore(); // `unmap` calls `forget`, which reaches other processors, too
        }
    }

    /// An address after `at`, where nothing is mapped, up to which the kernel's tables are empty.
    fn hole_end(&self, at: VirtAddr) -> VirtAddr {
        if self.has_entry::<Size2MiB>(at) {
            return end_of(at, Size4KiB::SIZE);
        }
        if self.has_entry::<Size1GiB>(at) {
            return end_of(at, Size2MiB::SIZE);
        }
        // The hole may be a whole place, of a TiB or more.
        let (mut end, last) = (at, at.get().saturating_add(LARGEST_HOLE));
        while end.get() < last && !self.has_entry::<Size1GiB>(end) {
            let address = x86_64::VirtAddr::try_new(end.get()).ok();
            let slot = address.map(|address| &self.tables.level_4_table()[address.p4_index()]);
            let is_empty =
                slot.is_some_and(x86_64::structures::paging::page_table::PageTableEntry::is_unused);
            end = end_of(end, if is_empty { TOP_LEVEL } else { Size1GiB::SIZE });
        }
        end
    }

    /// True if a page of this size around an address has an entry, or a table, in the kernel's tables.
    fn has_entry<S: PageSize>(&self, at: VirtAddr) -> bool
    where
        OffsetPageTable<'t>: x86_64::structures::paging::Mapper<S>,
    {
        use x86_64::structures::paging::mapper::TranslateError::PageNotMapped;
        let page = x86_64::VirtAddr::try_new(at.get()).map(Page::<S>::containing_address);
        page.is_ok_and(|page| !matches!(self.tables.translate_page(page), Err(PageNotMapped)))
    }
}

/// A walk looks no further for the end of a hole: a virtual array of descriptors for all of 52-bit memory is smaller.
const LARGEST_HOLE: u64 = 1 << 47;
/// Bytes that an entry of the top-level table translates.
const TOP_LEVEL: u64 = 1 << 39;

/// The page of this size that begins at an address.
fn page<S: PageSize>(at: VirtAddr) -> Option<Page<S>> {
    Page::from_start_address(x86_64::VirtAddr::try_new(at.get()).ok()?).ok()
}

/// The first address after the block of `bytes` bytes, a power of two, that holds `at`.
const fn end_of(at: VirtAddr, bytes: u64) -> VirtAddr {
    VirtAddr::new((at.get() | (bytes - 1)).saturating_add(1))
}

// SAFETY: the environment is only exchanged with the mapper.
forward_to_field!(unsafe impl [A, E: PhysMap] PhysMap for OffsetMapper<'_, A, E> => env);

// SAFETY: as above.
forward_to_field!(unsafe impl [A, E: MetadataMemory] MetadataMemory for OffsetMapper<'_, A, E> => env);

// SAFETY: 1. The tables are the processors', and what they map is what `translate` finds in them; an entry that it cannot
// explain counts as mapped. 2. `unmap` clears the entry and then calls `forget`. 3. There is one origin. 4. `x86_64` panics
// only for tables that are no tables, which the constructor's caller excludes.
unsafe impl<A: FrameAllocator<Size4KiB>, E: MetadataMemory> Mapper for OffsetMapper<'_, A, E> {
    fn page(&self) -> LeafSize {
        LeafSize::Size4KiB
    }

    fn large(&self) -> Option<LeafSize> {
        Some(LeafSize::Size2MiB)
    }

    fn walk(&self, at: VirtAddr) -> Mapped {
        let Ok(address) = x86_64::VirtAddr::try_new(at.get()) else {
            return Mapped::Hole { end: end_of(at, Size4KiB::SIZE) };
        };
        let (size, to) = match self.tables.translate(address) {
            TranslateResult::Mapped { frame, .. } => {
                let size = match frame {
                    MappedFrame::Size4KiB(_) => LeafSize::Size4KiB,
                    MappedFrame::Size2MiB(_) => LeafSize::Size2MiB,
                    MappedFrame::Size1GiB(_) => LeafSize::Size1GiB,
                };
                (size, PhysAddr::new(frame.start_address().as_u64()))
            }
            TranslateResult::InvalidFrameAddress(to) => (LeafSize::Size4KiB, PhysAddr::new(to.as_u64())),
            TranslateResult::NotMapped => return Mapped::Hole { end: self.hole_end(at) },
        };
        Mapped::Leaf { at: VirtAddr::new(at.get() & !(size.bytes() - 1)), to, size }
    }

    fn map(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        let mapped = match size {
            LeafSize::Size2MiB => self.map_page::<Size2MiB>(at, to),
            LeafSize::Size4KiB => self.map_page::<Size4KiB>(at, to),
            _ => None,
        };
        mapped.ok_or(LinkRefused { at })
    }

    fn unmap(&mut self, at: VirtAddr, size: LeafSize) {
        if size == LeafSize::Size2MiB {
            self.unmap_page::<Size2MiB>(at);
        } else {
            self.unmap_page::<Size4KiB>(at);
        }
        (self.forget)(VirtRange::from_start_count(at, ByteLen::new(size.bytes())).unwrap_or_default());
    }

    fn origin_of(&self, _to: PhysAddr) -> Origin {
        self.origin
    }
}
