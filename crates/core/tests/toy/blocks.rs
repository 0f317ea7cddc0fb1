//! Blocks of metadata memory, and what an environment is by default.

use std::alloc::Layout;
use std::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, ArrayPlace, Block, Footprint, ForeignBlock, LeafSize, LinkRefused, LostBlocks,
    MetadataMemory, NoArray, NodeId, Origin, OutOfMemory, PagingDepth, PhysAddr, PhysMap, Rejected, VirtAddr,
    VirtRange,
};

use crate::model::FOOTPRINT;

/// One block of 4 KiB, and no other method than those that have no default.
struct OneBlock {
    memory: NonNull<u8>,
    given: bool,
}

const LAYOUT: Layout = Layout::new::<[u64; 512]>();
const AT: PhysAddr = PhysAddr::new(0x7000);

// SAFETY: the one block is reached at `memory`, and nothing else is.
unsafe impl PhysMap for OneBlock {
    fn phys_to_virt(&self, _at: PhysAddr) -> NonNull<u8> {
        self.memory
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        (at == self.memory).then_some(AT)
    }
}

// SAFETY: the block is zeroed memory, given once until it comes back; nobody's pages are refused.
unsafe impl MetadataMemory for OneBlock {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        if self.given || layout != LAYOUT {
            return Err(OutOfMemory::new(layout, node));
        }
        self.given = true;
        // SAFETY: the memory has this layout, and nobody else has it.
        Ok(unsafe { Block::from_parts(self.memory, AT, layout, Origin::Runtime) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if block.phys() != AT || !self.given {
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        self.given = false;
        Ok(())
    }
}

// SAFETY: no model is given it.
unsafe impl AddressSpace for OneBlock {
    fn root(&self) -> PhysAddr {
        AT
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Four
    }

    fn flush(&mut self, _range: VirtRange) {}
}

/// Runs with an environment of one block.
fn with_block(run: impl FnOnce(&mut OneBlock)) {
    let mut memory = Box::new([0u64; 512]);
    run(&mut OneBlock { memory: NonNull::from(&mut *memory).cast(), given: false });
}

#[test]
fn a_block_says_where_it_is_and_where_it_came_from() {
    with_block(|env| {
        let block = env.alloc_zeroed(LAYOUT, NodeId::new(0)).unwrap();
        assert_eq!((block.start(), block.phys()), (env.memory, AT));
        assert_eq!((block.layout(), block.origin()), (LAYOUT, Origin::Runtime));
        let foreign = ForeignBlock { address: env.memory.addr().get(), size: 4096, origin: Origin::Runtime };
        assert_eq!(block.foreign(), foreign);
        env.free(block).unwrap();
    });
}

/// An environment without an altmap gives memmaps as it gives everything else.
#[test]
fn a_memmap_is_a_block_like_any_other_by_default() {
    with_block(|env| {
        let node = NodeId::new(3);
        let memmap = env.alloc_memmap(LAYOUT, node).unwrap();
        assert_eq!(memmap.start(), env.memory);
        assert_eq!(env.alloc_memmap(LAYOUT, node), Err(OutOfMemory { size: 4096, align: 8, node }));
        env.free(memmap).unwrap();
    });
}

#[test]
fn an_address_space_maps_2_mib_and_takes_every_mapping_by_default() {
    with_block(|env| {
        let at = VirtAddr::new(1 << 21);
        assert_eq!(env.largest_leaf(), LeafSize::Size2MiB);
        assert_eq!(env.linked(at, AT, LeafSize::Size4KiB), Ok::<(), LinkRefused>(()));
        env.root_changed(at);
    });
}

/// Table entries keep an origin in two bits: whoever reads one back gives the block to whom it came from.
#[test]
fn an_origin_is_had_back_from_its_two_bits() {
    for origin in [Origin::Boot, Origin::Runtime, Origin::Altmap] {
        assert!(origin.code() < 4);
        assert_eq!(Origin::from_code(origin.code()), Some(origin));
    }
    assert_eq!(Origin::from_code(3), None);
}

#[test]
fn lost_blocks_of_several_operations_add_up() {
    let block = |address| ForeignBlock { address, size: 64, origin: Origin::Boot };
    let (mut first, mut second) = (LostBlocks::default(), LostBlocks::default());
    (0..3).for_each(|index| first.note(block(index)));
    (3..5).for_each(|index| second.note(block(index)));
    second.add(first);
    assert_eq!((second.count(), second.first()), (5, Some(block(3))));
}

#[test]
fn a_footprint_is_the_sum_of_its_parts() {
    assert_eq!(FOOTPRINT.total_bytes(), 54321);
    assert_eq!(Footprint::default().total_bytes(), 0);
}

#[test]
fn sizes_of_mappings_are_what_they_are_called() {
    let bytes = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB].map(LeafSize::bytes);
    assert_eq!(bytes, [0x1000, 0x20_0000, 0x4000_0000]);
}

#[test]
fn no_array_has_no_bytes_and_nobody_can_claim_it() {
    assert!(!NoArray::claim().take());
    const { assert!(NoArray::BYTES == 0, "it sets nothing aside") };
    const { assert!(NoArray::START != 0, "a descriptor is never at the null address") };
    const { assert!(NoArray::START.is_multiple_of(1 << 21), "a place begins at a multiple of 2 MiB") };
}
