//! The direct map at a fixed distance from physical addresses, and page tables that are reached through it.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, LeafSize, PagingDepth, PhysAddr, PhysMap, PhysRange, VirtRange, forward_to_field,
};

/// Physical memory, mapped at a fixed distance.
#[derive(Clone, Copy, Debug)]
pub struct DirectMap {
    /// The virtual address of physical address 0, which itself need not be mapped.
    start: usize,
    /// The memory that is mapped.
    memory: PhysRange,
}

impl DirectMap {
    /// The map of `memory`, where physical address 0 is at the virtual address `start`, or would be.
    ///
    /// Rust has no pointer to the virtual address 0, so an environment refuses a request for which its source returns the
    /// memory there. With a `start` of 0, keep the first page from the source.
    ///
    /// # Safety
    ///
    /// Every address of `memory` that is RAM is mapped there, to be read and written, for as long as an environment uses
    /// this map. What pointers into it were made from has its provenance exposed, as memory that no Rust allocation owns has.
    #[must_use]
    pub const unsafe fn new(start: usize, memory: PhysRange) -> Self {
        Self { start, memory }
    }
}

// SAFETY: the constructor's caller says that all memory is mapped there; other addresses are only computed with.
unsafe impl PhysMap for DirectMap {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        #[expect(clippy::cast_possible_truncation, reason = "what is mapped has an address of the target")]
        let address = self.start.wrapping_add(at.get() as usize);
        // Dangling for an address that no block has.
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap_or(NonNull::dangling())
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        let phys = PhysAddr::new(at.addr().get().wrapping_sub(self.start) as u64);
        self.memory.contains(phys).then_some(phys)
    }
}

/// The pointer to memory for a block: aligned, and to that memory, which the pointer that a map has in place of null is not.
pub(crate) fn pointer_to(map: &impl PhysMap, at: PhysAddr, layout: Layout) -> Option<NonNull<u8>> {
    let start = map.phys_to_virt(at);
    let is_aligned = start.addr().get() % layout.align() == 0;
    (is_aligned && map.virt_to_phys(start) == Some(at)).then_some(start)
}

/// True if a block lies where a map has its physical address: another memory may have the same ones.
pub(crate) fn has(map: &impl PhysMap, block: &Block) -> bool {
    map.phys_to_virt(block.phys()) == block.start()
}

/// The kernel's page tables, reached through a map of physical memory.
#[derive(Clone, Copy, Debug)]
pub struct PageTables<M> {
    map: M,
    root: PhysAddr,
    depth: PagingDepth,
    largest: LeafSize,
    forget: fn(VirtRange),
}

impl<M: PhysMap> PageTables<M> {
    /// The tables below `root`. `forget` makes every processor drop its translations of a range; the crate of each entry
    /// format has a function that does it for one processor.
    ///
    /// # Safety
    ///
    /// `root`, `depth` and `forget` keep the promises of [`AddressSpace`] about root, depth and flush; `map` reaches
    /// the tables.
    #[must_use]
    pub const unsafe fn new(map: M, root: PhysAddr, depth: PagingDepth, forget: fn(VirtRange)) -> Self {
        Self { map, root, depth, largest: LeafSize::Size2MiB, forget }
    }

    /// The same tables with another size of the largest mapping than 2 MiB.
    #[must_use]
    pub const fn with_largest_leaf(mut self, largest: LeafSize) -> Self {
        self.largest = largest;
        self
    }
}

// SAFETY: the map is never exchanged.
forward_to_field!(unsafe impl [M: PhysMap] PhysMap for PageTables<M> => map);

// SAFETY: the constructor's caller promises all of it.
unsafe impl<M: PhysMap> AddressSpace for PageTables<M> {
    fn root(&self) -> PhysAddr {
        self.root
    }

    fn depth(&self) -> PagingDepth {
        self.depth
    }

    fn largest_leaf(&self) -> LeafSize {
        self.largest
    }

    fn flush(&mut self, range: VirtRange) {
        (self.forget)(range);
    }
}
