//! The environment of a boot: one block, which the kernel's boot allocator hands out.
//!
//! # Invariants
//!
//! 1. A byte of the block is in one of the two free pieces, or in a block that was given, or it is lost to padding.
//! 2. Large blocks grow upwards from the bottom of the higher piece and small ones downwards from its top, so that blocks
//!    of one size need no padding between them. The lower piece is the padding before the first large block.

use core::alloc::Layout;

use sparsemem_core::{
    AddressSpace, Block, ByteLen, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PhysAddr,
    PhysMap, PhysRange, Rejected, forward_to_field,
};

use crate::direct_map::{has, pointer_to};

/// Blocks of at least this many bytes are large.
const LARGE: usize = 128 << 10;

/// A boot environment over one block of memory: for boot allocators that know no alignment, or have many short regions.
///
/// A kernel asks the model for the size ([`MemoryModel::boot_bytes`](sparsemem_core::MemoryModel::boot_bytes)) and hands a
/// closure over that takes so many bytes from its boot allocator. What boot did not use comes back by
/// [`BootArena::into_unused`]. An arena over [`PageTables`](crate::PageTables) serves vmemmap, too.
///
/// The whole block is of one node, the boot allocator's choice; a kernel that wants each node's metadata on the node itself
/// boots with an environment of its own.
#[derive(Debug)]
pub struct BootArena<M> {
    map: M,
    block: PhysRange,
    free: [PhysRange; 2],
}

impl<M: PhysMap> BootArena<M> {
    /// An arena in the block of `bytes` bytes that `take` hands out, of any alignment. It is not called for no bytes.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if `take` has no such block.
    ///
    /// # Safety
    ///
    /// `take` returns the physical address of that many bytes of RAM, in one piece, which nobody else uses from now on, and
    /// all of which `map` reaches.
    pub unsafe fn new(
        map: M,
        bytes: ByteLen,
        take: impl FnOnce(ByteLen) -> Option<PhysAddr>,
    ) -> Result<Self, OutOfMemory> {
        let size = usize::try_from(bytes.get()).unwrap_or(usize::MAX);
        let none = OutOfMemory { size, align: 1, node: NodeId::new(0) };
        let start = if size == 0 { PhysAddr::default() } else { take(bytes).ok_or(none)? };
        let block = PhysRange::from_start_count(start, bytes).ok_or(none)?;
        Ok(Self { map, block, free: [PhysRange::empty_at(block.start()), block] })
    }

    /// The block that the arena was made from.
    #[must_use]
    pub const fn block(&self) -> PhysRange {
        self.block
    }

    /// Ends the arena, and returns the memory that no block was cut from: two pieces, each of which may be empty. The rest
    /// belongs to the model.
    #[must_use = "the memory is lost to a kernel that does not take it back"]
    pub fn into_unused(self) -> [PhysRange; 2] {
        self.free
    }

    /// Cuts a block from one of the free pieces.
    fn cut(&mut self, layout: Layout) -> Option<PhysAddr> {
        let [low, high] = self.free;
        let is_large = layout.size() >= LARGE;
        if let Some((block, rest)) = if is_large { None } else { from_top(low, layout) } {
            self.free = [rest, high];
            return Some(block);
        }
        if !is_large {
            let (block, rest) = from_top(high, layout)?;
            self.free = [low, rest];
            return Some(block);
        }
        let start = PhysAddr::new(high.start().get().checked_next_multiple_of(layout.align() as u64)?);
        let end = start.checked_add(ByteLen::new(layout.size() as u64))?;
        let rest = PhysRange::new(end, high.end()).ok()?;
        let padding = PhysRange::new(high.start(), start).ok()?;
        self.free = [if padding.count() > low.count() { padding } else { low }, rest];
        Some(start)
    }
}

/// A block at the end of a piece, and what is left of the piece.
fn from_top(piece: PhysRange, layout: Layout) -> Option<(PhysAddr, PhysRange)> {
    let highest = piece.end().get().checked_sub(layout.size() as u64)?;
    let start = PhysAddr::new(highest & !(layout.align() as u64 - 1));
    Some((start, PhysRange::new(piece.start(), start).ok()?))
}

// SAFETY: the map is never exchanged.
forward_to_field!(unsafe impl [M: PhysMap] PhysMap for BootArena<M> => map);
// SAFETY: as above.
forward_to_field!(unsafe impl [M: AddressSpace] AddressSpace for BootArena<M> => map);

// SAFETY: every block is cut from a free piece, which then no longer has its bytes (invariant 1), and it is zeroed; its
// alignment is checked at both addresses. A block is taken back only if it is of a boot and lies in the arena's own memory, at
// both addresses.
unsafe impl<M: PhysMap> MetadataMemory for BootArena<M> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let (before, none) = (self.free, OutOfMemory::new(layout, node));
        let phys = self.cut(layout).ok_or(none)?;
        let Some(start) = pointer_to(&self.map, phys, layout) else {
            self.free = before; // the map does not keep alignments, or has no pointer
            return Err(none);
        };
        // SAFETY: the block is the arena's, mapped, and nobody has it.
        unsafe { start.write_bytes(0, layout.size()) };
        // SAFETY: as above.
        Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Boot) })
    }

    /// Takes back a block of its own. Its memory is used again if nothing was given after it, and is idle otherwise.
    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let bytes = PhysRange::from_start_count(block.phys(), ByteLen::new(block.layout().size() as u64));
        let is_own = block.origin() == Origin::Boot && has(&self.map, &block);
        let own = bytes.filter(|bytes| is_own && self.block.contains_range(*bytes));
        let Some(bytes) = own else { return Err(Rejected { error: block.foreign(), returned: block }) };
        for piece in &mut self.free {
            let joined = if bytes.end() == piece.start() {
                PhysRange::new(bytes.start(), piece.end())
            } else if piece.end() == bytes.start() {
                PhysRange::new(piece.start(), bytes.end())
            } else {
                continue;
            };
            *piece = joined.unwrap_or(*piece);
            break;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DirectMap;
    use std::boxed::Box;
    use std::vec;

    /// An arena of `bytes` bytes, which begins `skew` bytes behind a page border, in a piece of memory full of ones.
    fn arena(bytes: u64, skew: u64) -> BootArena<DirectMap> {
        let memory =
            Box::leak(vec![0xff_u8; usize::try_from(bytes + skew).unwrap() + 4096].into_boxed_slice());
        let start = memory.as_mut_ptr().expose_provenance().next_multiple_of(4096);
        let phys = PhysRange::new(PhysAddr::new(0), PhysAddr::new(bytes + skew)).unwrap();
        // SAFETY: the memory is leaked, and nobody else has it.
        let map = unsafe { DirectMap::new(start, phys) };
        // SAFETY: as above.
        unsafe { BootArena::new(map, ByteLen::new(bytes), |_| Some(PhysAddr::new(skew))) }.unwrap()
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn blocks_are_zeroed_aligned_and_apart() {
        let (mut arena, node) = (arena(1 << 20, 40), NodeId::new(3));
        let asked = [(64, 64), (LARGE, 4096), (4096, 4096), (200, 8), (LARGE, 4096), (LARGE + 4096, 4096)];
        let blocks = asked.map(|(size, align)| arena.alloc_zeroed(layout(size, align), node).unwrap());
        for (nr, block) in blocks.iter().enumerate() {
            let (size, align) = (block.layout().size(), block.layout().align());
            assert!(block.phys().is_aligned(align as u64) && block.start().addr().get() % align == 0);
            // SAFETY: the block is ours.
            let bytes = unsafe { core::slice::from_raw_parts(block.start().as_ptr(), size) };
            assert!(bytes.iter().all(|byte| *byte == 0), "block {nr}");
            let range = |block: &Block| {
                PhysRange::from_start_count(block.phys(), ByteLen::new(block.layout().size() as u64)).unwrap()
            };
            assert!(arena.block().contains_range(range(block)));
            assert!(blocks.iter().skip(nr + 1).all(|other| !range(other).overlaps(range(block))));
            // SAFETY: as above.
            unsafe { block.start().write_bytes(1, size) };
        }
        let before = arena.free;
        assert_eq!(
            arena.alloc_zeroed(layout(1 << 20, 8), node),
            Err(OutOfMemory::new(layout(1 << 20, 8), node))
        );
        assert_eq!(arena.free, before, "a refusal changes nothing");
        let left = arena.into_unused().iter().map(|piece| piece.count().get()).sum::<u64>();
        let given = asked.iter().map(|(size, _)| *size as u64).sum::<u64>();
        assert!(
            left > 0 && left + given <= 1 << 20 && left + given + 2 * 4096 > 1 << 20,
            "{left} of {given}"
        );
    }

    #[test]
    fn only_blocks_of_its_own_are_taken_back() {
        let (mut arena, mut other, node) = (arena(1 << 20, 0), arena(1 << 20, 1 << 20), NodeId::new(0));
        let before = arena.free;
        let foreign = other.alloc_zeroed(layout(64, 8), node).unwrap();
        assert!(arena.free(foreign).is_err(), "beyond its end");
        let block = arena.alloc_zeroed(layout(64, 8), node).unwrap();
        // SAFETY: the copy is never used, and its origin is wrong on purpose.
        let late = unsafe { Block::from_parts(block.start(), block.phys(), block.layout(), Origin::Runtime) };
        assert!(arena.free(late).is_err(), "not of a boot");
        assert!(arena.free(block).is_ok());
        assert_eq!(arena.free, before, "the last block is as if it had never been given");
    }

    /// As on a simulated machine, where two memories have the same physical addresses.
    #[test]
    fn a_block_at_the_same_address_of_another_memory_is_foreign() {
        let (mut arena, mut other, node) = (arena(1 << 20, 0), arena(1 << 20, 0), NodeId::new(0));
        let (own, foreign) = (
            arena.alloc_zeroed(layout(64, 8), node).unwrap(),
            other.alloc_zeroed(layout(64, 8), node).unwrap(),
        );
        assert_eq!(own.phys(), foreign.phys());
        assert!(arena.free(foreign).is_err());
        assert_ne!(arena.alloc_zeroed(layout(64, 8), node).unwrap().start(), own.start(), "it is still out");
    }

    /// There is no pointer to the virtual address 0, and the one that stands for it leads elsewhere.
    #[test]
    fn the_byte_at_the_virtual_address_0_is_not_given() {
        let page = PhysRange::new(PhysAddr::new(0), PhysAddr::new(4096)).unwrap();
        // SAFETY: nothing of it is ever written: that is what this test is about.
        let map = unsafe { DirectMap::new(0, page) };
        // SAFETY: as above.
        let mut arena = unsafe { BootArena::new(map, page.count(), |_| Some(page.start())) }.unwrap();
        let before = arena.free;
        let all = layout(4096, 1);
        assert_eq!(arena.alloc_zeroed(all, NodeId::new(0)), Err(OutOfMemory::new(all, NodeId::new(0))));
        assert_eq!(arena.free, before);
    }

    #[test]
    fn no_bytes_need_no_block_and_no_block_is_an_error() {
        // SAFETY: nothing is mapped, and nothing used.
        let map = || unsafe { DirectMap::new(0, PhysRange::default()) };
        // SAFETY: there is no block.
        let empty =
            unsafe { BootArena::new(map(), ByteLen::new(0), |_| unreachable!("it asks for nothing")) };
        assert!(empty.unwrap().alloc_zeroed(layout(1, 1), NodeId::new(0)).is_err());
        // SAFETY: as above.
        assert!(unsafe { BootArena::new(map(), ByteLen::new(4096), |_| None) }.is_err());
    }
}
