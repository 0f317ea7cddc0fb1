//! The environment of a model: memory, page tables, and an array of descriptors, all inside the process.
//!
//! Nothing is mapped through the host: the virtual array is an ordinary block of memory that can always be touched.
//! This module reads the page tables that a model writes with its own code. When a page is mapped, its part of the
//! array becomes zero, as fresh memory would be. When it is unmapped, its part is filled with [`SPOILT`]. So the walk
//! detects a descriptor that lost its page, and the process cannot crash.
//!
//! This is the only module with `unsafe` code.
//!
//! # Invariants
//!
//! 1. Physical addresses are offsets in the arena plus [`RAM`]; every allocated block lies in the arena.
//! 2. The root table is a block of the arena that is never given back.

mod descriptor;
mod domain;
mod heap;
mod metadata;
mod region;
#[cfg(test)]
mod tests;

use std::alloc::Layout;
use std::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, Origin, OutOfMemory,
    PagingDepth, PhysAddr, PhysMap, Rejected, VirtAddr, VirtRange,
};
use sparsemem_vmemmap::DynamicBase;

pub use descriptor::Descriptor;
pub(crate) use descriptor::{DESCRIPTOR_BYTES, Mark};
pub use domain::{Readers, Reading};
use heap::{Heap, Slot, Use};
pub(crate) use metadata::MemoryView;
pub use metadata::Metadata;
use region::Region;

/// The physical address of the arena's first byte.
const RAM: u64 = 0x10_0000;
/// Bytes of the arena: several times what the largest of the tiny machines needs.
const ARENA: usize = 256 << 10;
/// Bytes of the virtual array that can be used: descriptors of 32 frames, the most that a tiny machine has.
const WINDOW: usize = 48 << 10;
/// Bytes of the place that is reserved for the array: the least that `ArrayBase` accepts.
const PLACE: usize = 2 << 20;
/// Bytes of a page of the page tables.
const PAGE: usize = 4096;
/// The byte that fills unmapped and freed memory.
const SPOILT: u8 = 0xdb;

/// The addresses that the environment keeps for a model's virtual array.
#[derive(Debug)]
pub struct Place {
    start: NonNull<u8>,
    len: u64,
}

impl Place {
    /// Makes this the place of an array.
    ///
    /// # Safety
    ///
    /// The base is part of the model that [`On::fresh`](crate::On::fresh) makes, and nothing has used that model yet.
    pub unsafe fn reserve(self, base: &DynamicBase) {
        // SAFETY: (1) the window is a block of its own that begins and ends on 2 MiB borders, is never freed, and is all
        // that the environment's page tables lead to; (2) there is one `Place` per model, and it is used up; the caller
        // promises the rest.
        unsafe { base.reserve(self.start, self.len) };
    }
}

/// The environment of a model that is walked: it gives metadata, page tables, and the place of a virtual array. Only the
/// walk makes one.
pub struct Environment {
    arena: Region,
    window: Region,
    heap: Heap,
    root: usize,
    origin: Origin,
    /// The number of grace periods before the current operation. The operation may free blocks only after one more.
    begun_at: Option<u64>,
    complaints: u32,
    metadata: Metadata,
}

impl Environment {
    /// A fresh environment, during boot, for a model with this metadata.
    pub(crate) fn new(metadata: Metadata) -> Self {
        let pages = |len| Layout::from_size_align(len, PAGE).unwrap_or(Layout::new::<u64>());
        // The array begins and ends on a 2 MiB border, as `ArrayBase` requires.
        let window = Layout::from_size_align(PLACE, PLACE).unwrap_or(Layout::new::<u64>());
        let mut environment = Self {
            arena: Region::new(pages(ARENA)),
            window: Region::new(window),
            heap: Heap::new(ARENA),
            root: 0,
            origin: Origin::Boot,
            begun_at: None,
            complaints: 0,
            metadata,
        };
        environment.restart();
        environment
    }

    /// Forgets all blocks and starts again with boot.
    pub(crate) fn restart(&mut self) {
        self.heap = Heap::new(ARENA);
        let table = Layout::from_size_align(PAGE, PAGE).unwrap_or(Layout::new::<u64>());
        let slot = Slot { layout: table, origin: Origin::Boot, used_for: Use::Other };
        self.root = self.heap.take(slot).unwrap_or(0);
        self.arena.fill(self.root, PAGE, 0);
        self.window.fill(0, WINDOW, SPOILT);
        self.origin = Origin::Boot;
        self.begun_at = None;
        self.complaints = 0;
    }

    /// The place of the virtual array of the one model that is made for this environment.
    pub(crate) fn place(&self) -> Place {
        Place { start: self.window.start(), len: self.window.len() as u64 }
    }

    /// Starts an operation: from now on blocks come from the run-time allocator, and none may be freed before a grace
    /// period.
    pub(crate) fn begin(&mut self) {
        self.origin = Origin::Runtime;
        self.begun_at = Some(domain::graces());
    }

    /// Ends an operation, which must have waited for readers at most once.
    pub(crate) fn end(&mut self) {
        if self.begun_at.is_some_and(|graces| domain::graces() > graces + 1) {
            self.complaints += 1;
        }
    }

    /// Starts a teardown: blocks may be freed at any time.
    pub(crate) fn begin_teardown(&mut self) {
        self.begun_at = None;
    }

    /// Counts an event that must not happen and that no view shows.
    pub(crate) fn complain(&mut self) {
        self.complaints += 1;
    }

    /// Everything that can be observed and that the reference says something about.
    pub(crate) fn view(&self) -> MemoryView {
        let everything = self.left();
        match self.metadata {
            Metadata::NotCompared => {
                MemoryView { complaints: everything.complaints, ..MemoryView::default() }
            }
            _ => everything,
        }
    }

    /// Everything that can be observed.
    pub(crate) fn left(&self) -> MemoryView {
        let (mut mapped, mut complaints) = (0, self.complaints);
        let last_table = self.last_table();
        for page in 0..WINDOW / PAGE {
            match self.translate(&last_table, page) {
                Translation::None => {}
                Translation::To(_) => mapped |= 1 << page,
                Translation::Astray => complaints += 1,
            }
        }
        let memmap_blocks = self.heap.count(Use::Memmap);
        // One of the blocks is the root table, which belongs to the kernel.
        let other_blocks = self.heap.count(Use::Other) - 1;
        MemoryView { memmap_blocks, other_blocks, mapped, complaints }
    }

    /// A number that depends on the set of allocated blocks.
    pub(crate) fn digest(&self) -> u64 {
        self.heap.digest()
    }

    /// Follows the page tables, independently of the crate that wrote them, to the last table that leads to the
    /// array. Only the array uses this table, because it begins on a 2 MiB border and ends on the next.
    fn last_table(&self) -> Translation {
        let address = self.window.start().addr().get();
        let mut table = self.root;
        for shift in [39, 30, 21] {
            match self.follow(self.arena.word(table + (address >> shift) % 512 * 8), Use::Other) {
                Translation::To(next) => table = next,
                stopped => return stopped,
            }
        }
        Translation::To(table)
    }

    /// The page that a page of the array is mapped to.
    fn translate(&self, last_table: &Translation, page: usize) -> Translation {
        match last_table {
            Translation::To(table) => self.follow(self.arena.word(table + page * 8), Use::Memmap),
            stopped => *stopped,
        }
    }

    /// The page of an entry, if that page is allocated for `wanted`. Large pages, for which these machines are too
    /// small, and entries that are not settled lead astray.
    fn follow(&self, entry: u64, wanted: Use) -> Translation {
        let is_odd = entry & 1 == 0 || entry >> 58 & 1 == 1 || (wanted == Use::Other && entry >> 7 & 1 == 1);
        let is_page = |slot: Slot| slot.layout.size() == PAGE && slot.used_for == wanted;
        match offset_in_entry(entry) {
            _ if entry == 0 => Translation::None,
            Some(offset) if !is_odd && self.heap.slot(offset).is_some_and(is_page) => Translation::To(offset),
            _ => Translation::Astray,
        }
    }

    fn take(&mut self, layout: Layout, node: NodeId, used_for: Use) -> Result<Block, OutOfMemory> {
        let slot = Slot { layout, origin: self.origin, used_for };
        let offset = self.heap.take(slot).ok_or(OutOfMemory::new(layout, node))?;
        self.arena.fill(offset, layout.size(), 0);
        let phys = PhysAddr::new(RAM + offset as u64);
        // SAFETY: (1) the heap gives a slot out once, and it lies in the arena with this size and alignment; (2) it was
        // just zeroed; (3) `phys` is the arena's address of it.
        Ok(unsafe { Block::from_parts(self.arena.at(offset), phys, layout, self.origin) })
    }

    /// The numbers of the pages of the array that an address range touches.
    fn pages_of(&self, start: u64, end: u64) -> impl Iterator<Item = usize> + use<> {
        let base = self.window.start().addr().get() as u64;
        let first = start.saturating_sub(base) / PAGE as u64;
        let last = end.saturating_sub(base).div_ceil(PAGE as u64).min((WINDOW / PAGE) as u64);
        (first..last).filter_map(|page| usize::try_from(page).ok())
    }
}

/// The target of a part of the page tables.
#[derive(Clone, Copy)]
enum Translation {
    None,
    /// To a page of the arena, by its offset.
    To(usize),
    /// Something that is neither a table nor memory of descriptors.
    Astray,
}

/// The offset in the arena that a page-table entry holds.
fn offset_in_entry(entry: u64) -> Option<usize> {
    usize::try_from((entry & 0x000f_ffff_ffff_f000).checked_sub(RAM)?).ok()
}

// SAFETY: both are the same shift by `RAM`; a block lies in the arena with all its bytes.
unsafe impl PhysMap for Environment {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        let offset = at.get().checked_sub(RAM).and_then(|offset| usize::try_from(offset).ok());
        self.arena.at(offset.unwrap_or(usize::MAX))
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        self.arena.offset_of(at.addr().get()).map(|offset| PhysAddr::new(RAM + offset as u64))
    }
}

// SAFETY: the heap gives a slot out once until it comes back, aligned and large enough, and `take` zeroes it.
unsafe impl MetadataMemory for Environment {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.take(layout, node, Use::Other)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.take(layout, node, Use::Memmap)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if self.begun_at.is_some_and(|graces| graces == domain::graces()) {
            self.complaints += 1;
        }
        let offset = self.arena.offset_of(block.start().addr().get());
        match offset.filter(|offset| self.heap.give(*offset, block.layout(), block.origin())) {
            Some(offset) => {
                self.arena.fill(offset, block.layout().size(), SPOILT);
                Ok(())
            }
            None => {
                self.complaints += 1;
                Err(Rejected { error: block.foreign(), returned: block })
            }
        }
    }
}

// SAFETY: (1) the root is a page of zeroes when the first model uses it, and only models write entries; (2) no
// processor translates through these tables, so nothing is left to flush.
unsafe impl AddressSpace for Environment {
    fn root(&self) -> PhysAddr {
        PhysAddr::new(RAM + self.root as u64)
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Four
    }

    fn linked(&mut self, at: VirtAddr, _to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        for page in self.pages_of(at.get(), at.get().saturating_add(size.bytes())) {
            self.window.fill(page * PAGE, PAGE, 0);
        }
        Ok(())
    }

    fn flush(&mut self, range: VirtRange) {
        let last_table = self.last_table();
        for page in self.pages_of(range.start().get(), range.end().get()) {
            if matches!(self.translate(&last_table, page), Translation::None) {
                self.window.fill(page * PAGE, PAGE, SPOILT);
            }
        }
    }
}
