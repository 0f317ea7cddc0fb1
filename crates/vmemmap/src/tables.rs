//! The page-table crate's surroundings, made of a model's environment.
//!
//! # Invariants
//!
//! 1. The tag of a frame is the code of the block's [`Origin`], so that what is unmapped goes back to where it came
//!    from.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core as core_api;
use sparsemem_core::{AddressSpace, Block, ForeignBlock, MetadataMemory, NodeId, Origin, PagingDepth};
use sparsemem_page_table::{
    Depth, LeafSize, LinkRefused, PageTable, PhysAddr, Table, TableMemory, Tag, TaggedFrame, VirtAddr,
    VirtRange,
};

/// The kernel's page tables, as the page-table crate names them.
pub(crate) fn page_table<E: AddressSpace>(env: &E) -> PageTable {
    let depth = match env.depth() {
        PagingDepth::Four => Depth::Four,
        PagingDepth::Five => Depth::Five,
    };
    // SAFETY: the environment promises a live top-level table of this depth, whose entries for the array's range
    // only the model changes; the model has one writer at a time.
    unsafe { PageTable::new(PhysAddr::new_truncate(env.root().get()), depth) }
}

/// The same size in the words of the core crate.
pub(crate) const fn core_size(size: LeafSize) -> core_api::LeafSize {
    match size {
        LeafSize::Size4KiB => core_api::LeafSize::Size4KiB,
        LeafSize::Size2MiB => core_api::LeafSize::Size2MiB,
        LeafSize::Size1GiB => core_api::LeafSize::Size1GiB,
    }
}

/// The same address in the words of the core crate.
pub(crate) const fn core_addr(at: VirtAddr) -> core_api::VirtAddr {
    core_api::VirtAddr::new(at.get())
}

/// Tables and leaves for populating and unmapping.
pub(crate) struct Tables<'e, E> {
    env: &'e mut E,
    node: NodeId,
    refused: Refused,
}

/// Blocks that did not go back. They are told when the page tables are in order again: who is told may do anything.
#[derive(Default)]
struct Refused {
    /// As many as are worth naming.
    named: [Option<ForeignBlock>; 8],
    count: usize,
}

impl Refused {
    /// Remembers a block.
    fn push(&mut self, block: ForeignBlock) {
        if let Some(slot) = self.named.get_mut(self.count) {
            *slot = Some(block);
        }
        self.count += 1;
    }

    /// Tells of every block; behind the eighth, the first stands for the others.
    fn tell(&self, refused: &mut dyn FnMut(ForeignBlock)) {
        let first = self.named.first().copied().flatten();
        for index in 0..self.count {
            let named = self.named.get(index).copied().flatten();
            named.or(first).into_iter().for_each(&mut *refused);
        }
    }
}

impl<'e, E: MetadataMemory + AddressSpace> Tables<'e, E> {
    /// Memory from `node`.
    pub(crate) fn new(env: &'e mut E, node: NodeId) -> Self {
        Self { env, node, refused: Refused::default() }
    }

    /// Tells of the blocks that did not go back.
    pub(crate) fn tell_refused(&self, refused: &mut dyn FnMut(ForeignBlock)) {
        self.refused.tell(refused);
    }

    /// Gives a block back.
    fn free(&mut self, frame: TaggedFrame, size: LeafSize) {
        let phys = core_api::PhysAddr::new(frame.start.as_u64());
        let start = self.env.phys_to_virt(phys);
        let (Some(layout), Some(origin)) = (layout(size), Origin::from_code(frame.tag.get())) else { return };
        // SAFETY: (1) exactly this block was taken apart and written into an entry with its origin (invariant 1);
        // (2) the entry is cleared and flushed, so nobody else knows of it.
        let block = unsafe { Block::from_parts(start, phys, layout, origin) };
        if let Err(rejected) = self.env.free(block) {
            self.refused.push(rejected.error);
        }
    }
}

/// A block as an entry records it.
fn tagged(block: &Block) -> Option<TaggedFrame> {
    let tag = Tag::new(block.origin().code())?;
    Some(TaggedFrame { start: PhysAddr::new_truncate(block.phys().get()), tag })
}

/// The block behind a leaf or, with the smallest size, behind a table.
fn layout(size: LeafSize) -> Option<Layout> {
    let bytes = usize::try_from(size.bytes()).ok()?;
    Layout::from_size_align(bytes, bytes).ok()
}

// SAFETY: (1) `table` goes through the environment's direct map, which reaches all memory that it gave out;
// (2) blocks are zeroed and exclusively owned; (3) one writer at a time, and what it frees is flushed before;
// (4) neither this code nor, by its contract, the environment unwinds, and no other code runs meanwhile.
unsafe impl<E: MetadataMemory + AddressSpace> TableMemory for Tables<'_, E> {
    fn table(&self, table: PhysAddr) -> NonNull<Table> {
        self.env.phys_to_virt(core_api::PhysAddr::new(table.as_u64())).cast()
    }

    fn alloc_table(&mut self) -> Option<TaggedFrame> {
        let block = self.env.alloc_zeroed(layout(LeafSize::Size4KiB)?, self.node).ok()?;
        tagged(&block)
    }

    fn free_table(&mut self, frame: TaggedFrame) {
        self.free(frame, LeafSize::Size4KiB);
    }

    fn alloc_leaf(&mut self, _at: VirtAddr, size: LeafSize) -> Option<TaggedFrame> {
        let block = self.env.alloc_memmap(layout(size)?, self.node).ok()?;
        tagged(&block)
    }

    fn free_leaf(&mut self, frame: TaggedFrame, size: LeafSize) {
        self.free(frame, size);
    }

    fn linked(&mut self, at: VirtAddr, frame: TaggedFrame, size: LeafSize) -> Result<(), LinkRefused> {
        let to = core_api::PhysAddr::new(frame.start.as_u64());
        self.env.linked(core_addr(at), to, core_size(size)).map_err(|_| LinkRefused)
    }

    fn root_changed(&mut self, at: VirtAddr) {
        self.env.root_changed(core_addr(at));
    }

    fn flush(&mut self, range: VirtRange) {
        let start = core_addr(range.start());
        // A range that ends at the very top of the address space has no end address; the array never does.
        let end = range.end().map_or(core_api::VirtAddr::new(u64::MAX), core_addr);
        if let Ok(range) = core_api::VirtRange::new(start, end) {
            self.env.flush(range);
        }
    }
}

/// Tables for looking only.
pub(crate) struct TableView<'e, E> {
    env: &'e E,
}

impl<'e, E: AddressSpace> TableView<'e, E> {
    /// A view of the environment's tables.
    pub(crate) fn new(env: &'e E) -> Self {
        Self { env }
    }
}

// SAFETY: it allocates nothing, so only the promise on `table` is left, which is kept as in `Tables`.
unsafe impl<E: AddressSpace> TableMemory for TableView<'_, E> {
    fn table(&self, table: PhysAddr) -> NonNull<Table> {
        self.env.phys_to_virt(core_api::PhysAddr::new(table.as_u64())).cast()
    }

    fn alloc_table(&mut self) -> Option<TaggedFrame> {
        None
    }

    fn free_table(&mut self, _frame: TaggedFrame) {}

    fn alloc_leaf(&mut self, _at: VirtAddr, _size: LeafSize) -> Option<TaggedFrame> {
        None
    }

    fn free_leaf(&mut self, _frame: TaggedFrame, _size: LeafSize) {}

    fn linked(&mut self, _at: VirtAddr, _frame: TaggedFrame, _size: LeafSize) -> Result<(), LinkRefused> {
        Err(LinkRefused)
    }

    fn flush(&mut self, _range: VirtRange) {}
}
