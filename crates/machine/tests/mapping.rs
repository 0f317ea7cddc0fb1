//! Page tables in simulated memory, and the mappings that repeat them.

mod common;

use common::{
    GIB, LARGE, MIB, NODE, TABLE, at, bytes, clear, flush, give_back, leaf_block, machine, map, pointer,
    write_entry,
};
use sparsemem_core::{AddressSpace, LeafSize, LinkRefused, PagingDepth, PhysAddr, PhysMap, VirtAddr};
use sparsemem_machine::{Access, Leaf, Machine, MachineConfig, Mismatch, Which, probe};

const SMALL: LeafSize = LeafSize::Size4KiB;
const MEDIUM: LeafSize = LeafSize::Size2MiB;

fn is_readable(machine: &Machine, offset: u64) -> bool {
    probe(pointer(machine, offset).as_ptr()) == Access::Readable
}

#[test]
fn a_leaf_shows_the_memory_that_the_tables_name() {
    for depth in [PagingDepth::Four, PagingDepth::Five] {
        let config = MachineConfig::new().memory(bytes(0, 8 * GIB), NODE).vmemmap_bytes(1).depth(depth);
        let mut machine = Machine::new(&config).unwrap();
        assert_eq!(machine.window().count().get(), GIB);
        for (offset, size) in [(4096, SMALL), (6 * MIB, MEDIUM)] {
            let block = leaf_block(&mut machine, size);
            let place = at(&machine, offset);
            let mut made = map(&mut machine, place, block.phys(), size);
            let through_window = pointer(&machine, offset + 8).cast::<u64>();
            // SAFETY: mapped just now to a block of this test.
            unsafe { through_window.write(0xfeed) };
            let directly = machine.phys_to_virt(PhysAddr::new(block.phys().get() + 8)).cast::<u64>();
            // SAFETY: the same eight bytes, in the block itself.
            assert_eq!(unsafe { directly.read() }, 0xfeed);
            let leaf = Leaf { at: place, to: block.phys(), size };
            assert_eq!(machine.translate(at(&machine, offset + 17)), Ok(Some(leaf)));
            assert!(machine.mirrored().any(|mirrored| mirrored == leaf));
            assert_eq!(machine.mirror_matches_tables(), Ok(()));
            made.push(block);
            clear(&mut machine, place, size);
            flush(&mut machine, offset, size.bytes());
            assert!(!is_readable(&machine, offset));
            // The tables above stay behind on purpose: nothing maps through them.
            drop(made);
        }
        // SAFETY: the blocks that were dropped are used by nobody.
        unsafe { machine.demolish() };
    }
}

#[test]
fn a_gigabyte_is_one_leaf() {
    let mut machine = machine(8 * GIB);
    let block = leaf_block(&mut machine, LeafSize::Size1GiB);
    let place = at(&machine, GIB);
    let made = map(&mut machine, place, block.phys(), LeafSize::Size1GiB);
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    assert!(is_readable(&machine, 2 * GIB - 1) && !is_readable(&machine, GIB - 1));
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
    drop(made);
}

#[test]
fn attributes_between_bit_12_and_the_size_are_no_address() {
    let mut machine = machine(GIB);
    let place = at(&machine, 0);
    // Bit 12 selects a memory type, bit 63 forbids execution, bits 9 to 11 and 52 to 58 are free for software.
    let entry = 0x8410_0000_0020_1e00 | (64 * MIB) | LARGE | 0x60;
    let made = write_entry(&mut machine, place, 2, entry);
    let leaf = Leaf { at: place, to: PhysAddr::new(66 * MIB), size: MEDIUM };
    assert_eq!(machine.translate(place), Ok(Some(leaf)));
    assert_eq!(machine.mirror_matches_tables(), Err(Mismatch::OnlyInTables { leaf }));
    write_entry(&mut machine, place, 4, 0);
    give_back(&mut machine, made);
}

#[test]
fn a_flush_hides_exactly_what_is_gone() {
    let mut machine = machine(GIB);
    let mut blocks = Vec::new();
    for index in 0..4 {
        let block = leaf_block(&mut machine, MEDIUM);
        let place = at(&machine, index * 2 * MIB);
        blocks.extend(map(&mut machine, place, block.phys(), MEDIUM));
        blocks.push(block);
    }
    // A flush of what is still in the tables changes nothing: hardware would read the entry again.
    flush(&mut machine, 0, 8 * MIB);
    assert_eq!(machine.mirrored().count(), 4);
    for index in [1, 2, 3] {
        let place = at(&machine, index * 2 * MIB);
        clear(&mut machine, place, MEDIUM);
    }
    // Before the flush the old translation still works, as it may on hardware.
    assert!(is_readable(&machine, 2 * MIB));
    let stale = Leaf { at: at(&machine, 2 * MIB), to: PhysAddr::new(4 * MIB), size: MEDIUM };
    assert_eq!(machine.mirror_matches_tables(), Err(Mismatch::OnlyInMirror { leaf: stale }));
    // A range inside of a leaf reaches all of the leaf.
    flush(&mut machine, 3 * MIB, 4096);
    assert_eq!([0, 2, 4, 6].map(|offset| is_readable(&machine, offset * MIB)), [true, false, true, true]);
    flush(&mut machine, 0, 2 * GIB);
    assert_eq!([0, 2, 4, 6].map(|offset| is_readable(&machine, offset * MIB)), [true, false, false, false]);
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    let first = at(&machine, 0);
    clear(&mut machine, first, MEDIUM);
    flush(&mut machine, 0, 1);
    write_entry(&mut machine, first, 4, 0);
    give_back(&mut machine, blocks);
    assert_eq!((machine.mirrored().count(), machine.balance().is_zero()), (0, true));
}

/// The window prepares the neighbourhood of a leaf for more of the same kind; leaves of another kind in between must
/// not show what was prepared, before or after.
#[test]
fn every_leaf_shows_its_own_memory_in_any_order() {
    let mut machine = machine(GIB);
    let blocks: Vec<_> = (0..8).map(|_| leaf_block(&mut machine, MEDIUM)).collect();
    for (block, mark) in blocks.iter().zip(0_u64..) {
        // SAFETY: the block is this test's.
        unsafe { block.start().cast::<u64>().write(mark) };
    }
    let shown = |machine: &mut Machine, slot: u64, block: usize| {
        let place = at(machine, slot * 2 * MIB);
        machine.linked(place, blocks[block].phys(), MEDIUM).unwrap();
        // SAFETY: mapped just now to a block of this test.
        unsafe { pointer(machine, slot * 2 * MIB).cast::<u64>().read() == block as u64 }
    };
    // Each pair is a place and a block; a place that is used again is flushed before.
    let orders: [&[(u64, usize)]; 4] = [
        &[(0, 0), (1, 1), (2, 5), (2, 2), (3, 3), (1, 7), (1, 1)],
        &[(0, 7), (1, 0), (1, 1), (0, 0), (0, 7), (0, 1)],
        &[(3, 3), (3, 4), (4, 5), (5, 2), (5, 6), (2, 3), (3, 0)],
        &[(0, 3), (511, 4), (512, 5), (513, 6), (512, 0), (512, 5)],
    ];
    for order in orders {
        for (slot, block) in order {
            flush(&mut machine, slot * 2 * MIB, 1);
            assert!(!is_readable(&machine, slot * 2 * MIB));
            assert!(shown(&mut machine, *slot, *block), "{order:?}: {slot}");
        }
        flush(&mut machine, 0, 2 * GIB);
        assert!(machine.mirrored().next().is_none());
        assert!((0..1024).all(|slot| !is_readable(&machine, slot * 2 * MIB)));
    }
    give_back(&mut machine, blocks);
}

#[test]
fn a_flush_sees_that_an_entry_leads_elsewhere() {
    let mut machine = machine(GIB);
    let (old, new) = (leaf_block(&mut machine, MEDIUM), leaf_block(&mut machine, MEDIUM));
    let place = at(&machine, 0);
    for (block, byte) in [(&old, 1), (&new, 2)] {
        // SAFETY: the block is this test's.
        unsafe { block.start().write(byte) };
    }
    let made = map(&mut machine, place, old.phys(), MEDIUM);
    write_entry(&mut machine, place, 2, new.phys().get() | LARGE);
    // SAFETY: a block of this test is mapped there: the old one before the flush, the new one after it.
    let shown = |machine: &Machine| unsafe { pointer(machine, 0).read() };
    let expected = Mismatch::Different {
        tables: Leaf { at: place, to: new.phys(), size: MEDIUM },
        mirror: Leaf { at: place, to: old.phys(), size: MEDIUM },
    };
    assert_eq!(machine.mirror_matches_tables(), Err(expected));
    assert_eq!(machine.linked(place, new.phys(), MEDIUM), Err(LinkRefused { at: place }), "not flushed");
    assert_eq!(shown(&machine), 1);
    flush(&mut machine, 0, 1);
    assert_eq!(shown(&machine), 2, "the processor follows the tables anew");
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
    drop((old, new, made));
}

#[test]
fn impossible_links_are_refused() {
    let config = MachineConfig::new()
        .memory(bytes(0, 8 * MIB), NODE)
        .memory(bytes(GIB, GIB + 3 * MIB), NODE)
        .unmanaged(bytes(4 * GIB, 4 * GIB + 2 * MIB))
        .vmemmap_bytes(GIB);
    let mut machine = Machine::new(&config).unwrap();
    let window = |offset| at(&machine, offset);
    let places = [window(0), window(2 * MIB), window(4096), window(GIB), window(4 * MIB)];
    let [first, second, odd, behind, third] = places;
    let elsewhere = VirtAddr::new(0x1000);
    let mut refused =
        |at: VirtAddr, to: u64, size| machine.linked(at, PhysAddr::new(to), size) == Err(LinkRefused { at });
    assert!(refused(elsewhere, 0, SMALL), "outside the window");
    assert!(refused(behind, 0, SMALL), "behind the window");
    assert!(refused(odd, 0, MEDIUM), "virtual address not aligned");
    assert!(refused(first, 4096, MEDIUM), "physical address not aligned");
    assert!(refused(first, 16 * MIB, SMALL), "a hole");
    assert!(refused(first, GIB + 2 * MIB, MEDIUM), "half a hole");
    assert!(refused(first, 8 * GIB, SMALL), "behind all memory");
    assert!(refused(first, u64::MAX - 4095, SMALL), "no physical address at all");
    assert!(!refused(first, 2 * MIB, MEDIUM));
    assert!(refused(odd, 0, SMALL), "taken");
    assert!(!refused(second, 4 * GIB, MEDIUM), "unmanaged memory can be mapped");
    machine.faults().fail_nth(Which::Links, 0);
    assert!(machine.linked(third, PhysAddr::new(0), MEDIUM).is_err());
    assert!(machine.linked(third, PhysAddr::new(0), MEDIUM).is_ok());
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
}

#[test]
fn broken_tables_are_named() {
    let mut machine = machine(GIB);
    let place = at(&machine, 0);
    write_entry(&mut machine, place, 4, (64 * GIB) | TABLE);
    let covers = VirtAddr::new(place.get() & !((1 << 39) - 1));
    let expected = |error: Mismatch| matches!(error, Mismatch::TableOutsideMemory { table, .. } if table.get() == 64 * GIB);
    assert!(machine.mirror_matches_tables().is_err_and(expected));
    let entry = LARGE | (2 * MIB);
    write_entry(&mut machine, place, 4, entry);
    assert_eq!(machine.mirror_matches_tables(), Err(Mismatch::Malformed { at: covers, entry }));
    write_entry(&mut machine, place, 4, 0);
    let made = write_entry(&mut machine, place, 1, (2 * MIB) | 1);
    assert_eq!(machine.mirror_matches_tables(), Err(Mismatch::NotWritable { at: place }));
    write_entry(&mut machine, place, 4, 0);
    give_back(&mut machine, made);
}

#[test]
fn the_window_can_be_probed_at_its_borders() {
    let machine = machine(GIB);
    assert!(machine.window().start().get().is_multiple_of(GIB));
    assert_eq!(machine.window_ptr().addr().get() as u64, machine.window().start().get());
    assert!(!is_readable(&machine, 0) && !is_readable(&machine, 2 * GIB - 1));
    assert_eq!(probe(machine.phys_to_virt(PhysAddr::new(0)).as_ptr()), Access::Readable);
    assert_eq!(machine.translate(VirtAddr::new(u64::MAX)), Ok(None));
}

#[test]
fn what_is_in_use_stays_mapped_when_the_machine_is_dropped() {
    let mut machine = machine(GIB);
    let block = leaf_block(&mut machine, SMALL);
    drop(machine);
    // SAFETY: the block is this test's, and blocks that are given out stay mapped.
    assert_eq!(unsafe { block.start().read() }, 0);
}
