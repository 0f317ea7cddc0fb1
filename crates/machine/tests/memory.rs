//! The promises of the allocators: memory is zeroed, exclusive, on the node, counted, refused when foreign.

mod common;

use common::{GIB, MIB, NODE, bytes, give_back, layout, machine};
use sparsemem_core::{Block, MetadataMemory, NodeId, Origin, OutOfMemory, PhysAddr, PhysMap};
use sparsemem_machine::{Count, Demand, Machine, MachineConfig, MachineError, Verdict, Which};

const OTHER: NodeId = NodeId::new(1);

fn two_nodes() -> Machine {
    let config = MachineConfig::new()
        .memory(bytes(0, 4 * MIB), NODE)
        .memory(bytes(8 * MIB, 16 * MIB), OTHER)
        .unmanaged(bytes(16 * MIB, 32 * MIB));
    Machine::new(&config).unwrap()
}

fn fill(block: &Block, value: u8) {
    // SAFETY: the block is the caller's.
    unsafe { block.start().write_bytes(value, block.layout().size()) };
}

fn is_zero(block: &Block) -> bool {
    // SAFETY: the block is the caller's, and was zeroed or filled.
    let bytes = unsafe { core::slice::from_raw_parts(block.start().as_ptr(), block.layout().size()) };
    bytes.iter().all(|byte| *byte == 0)
}

/// The same block once more, as a buggy caller would have it.
fn forged(block: &Block, layout: core::alloc::Layout, origin: Origin) -> Block {
    // SAFETY: not kept, and on purpose: the machine refuses it, and nothing is accessed through it.
    unsafe { Block::from_parts(block.start(), block.phys(), layout, origin) }
}

#[test]
fn large_blocks_grow_up_and_small_ones_down() {
    let mut machine = machine(GIB);
    let take = |machine: &mut Machine, size, align| {
        let block = machine.alloc_zeroed(layout(size, align), NODE).unwrap();
        assert!(block.start().addr().get().is_multiple_of(block.layout().align()), "in the direct map too");
        block.phys().get()
    };
    assert_eq!(take(&mut machine, 2 * MIB, 2 * MIB), 2 * MIB);
    assert_eq!(take(&mut machine, 2 * MIB, 2 * MIB), 4 * MIB);
    assert_eq!(take(&mut machine, 64 << 10, 16), MIB);
    assert_eq!(take(&mut machine, 80, 8), GIB - 80);
    assert_eq!(take(&mut machine, 4096, 4096), GIB - 8192);
    // The gap above the table is used before anything below it.
    assert_eq!(take(&mut machine, 16, 16), GIB - 96);
    assert_eq!(take(&mut machine, 1, 1), GIB - 112);
}

#[test]
fn reused_memory_is_zero_whatever_its_size() {
    let mut machine = machine(GIB);
    for (size, align) in [(80, 16), (4096, 4096), (10_000, 16), (2 * MIB, 2 * MIB), (100, 64), (65_552, 16)] {
        let block = machine.alloc_zeroed(layout(size, align), NODE).unwrap();
        assert!(is_zero(&block));
        fill(&block, 0xa5);
        let place = block.phys();
        give_back(&mut machine, vec![block]);
        let again = machine.alloc_zeroed(layout(size, align), NODE).unwrap();
        assert_eq!(again.phys(), place);
        assert!(is_zero(&again), "{size} bytes");
        give_back(&mut machine, vec![again]);
    }
    machine.trim();
    assert!(machine.backed_bytes() <= 4 * 4096, "freed frames went back to the host");
}

#[test]
fn clearing_a_block_leaves_its_neighbours_alone() {
    let mut machine = machine(GIB);
    let [high, middle, low] = [(); 3].map(|()| machine.alloc_zeroed(layout(6000, 16), NODE).unwrap());
    for block in [&high, &middle, &low] {
        fill(block, 7);
    }
    give_back(&mut machine, vec![middle]);
    for block in [&high, &low] {
        // SAFETY: the block is this test's, and filled.
        let bytes = unsafe { core::slice::from_raw_parts(block.start().as_ptr(), 6000) };
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
    give_back(&mut machine, vec![high, low]);
}

#[test]
fn a_full_node_sends_requests_to_the_lowest_other() {
    let mut machine = two_nodes();
    let before = machine.state_digest();
    let mut blocks: Vec<_> =
        (0..5).map(|_| machine.alloc_zeroed(layout(2 * MIB, 2 * MIB), NODE).unwrap()).collect();
    // Node 0 has one place, node 1 four; holes and unmanaged memory have none.
    let places: Vec<_> = blocks.iter().map(|block| block.phys().get() / MIB).collect();
    assert_eq!(places, [2, 8, 10, 12, 14]);
    let error = machine.alloc_zeroed(layout(2 * MIB, 2 * MIB), OTHER).unwrap_err();
    assert_eq!(error, OutOfMemory::new(layout(2 * MIB, 2 * MIB), OTHER));
    blocks.push(machine.alloc_zeroed(layout(80, 8), NodeId::new(77)).unwrap());
    let balance = machine.balance();
    assert_eq!(balance.on(OTHER), Count { blocks: 4, bytes: 8 * MIB });
    assert_eq!(balance.on(NODE), Count { blocks: 2, bytes: 2 * MIB + 80 });
    assert_eq!(balance.nodes().collect::<Vec<_>>(), [NODE, OTHER]);
    give_back(&mut machine, blocks);
    assert!(machine.balance().is_zero());
    assert_eq!(machine.state_digest(), before);
    assert_eq!(machine.allocations(), 6);
}

#[test]
fn blocks_remember_which_allocator_gave_them() {
    let mut machine = machine(GIB);
    let boot = machine.alloc_zeroed(layout(4096, 4096), NODE).unwrap();
    machine.finish_boot();
    let runtime = machine.alloc_zeroed(layout(4096, 4096), NODE).unwrap();
    assert_eq!((boot.origin(), runtime.origin()), (Origin::Boot, Origin::Runtime));
    assert_eq!(machine.balance().of(Origin::Boot).blocks, 1);
    let outstanding: Vec<_> = machine.outstanding().collect();
    assert_eq!(
        outstanding,
        [(bytes(GIB - 8192, GIB - 4096), Origin::Runtime), (bytes(GIB - 4096, GIB), Origin::Boot)]
    );
    give_back(&mut machine, vec![boot, runtime]);
    assert!(machine.balance().is_zero());
}

#[test]
fn what_is_not_its_own_is_refused_and_changes_nothing() {
    let mut machine = machine(GIB);
    let mut elsewhere = self::machine(GIB);
    let block = machine.alloc_zeroed(layout(4096, 4096), NODE).unwrap();
    let foreign = elsewhere.alloc_zeroed(layout(4096, 4096), NODE).unwrap();
    let before = machine.state_digest();
    let wrong = [
        forged(&block, block.layout(), Origin::Runtime),
        forged(&block, block.layout(), Origin::Altmap),
        forged(&block, layout(2048, 4096), Origin::Boot),
        forged(&block, layout(4096, 16), Origin::Boot),
        // The same physical address, reached through another machine's direct map.
        foreign,
    ];
    for offered in wrong {
        let expected = offered.foreign();
        let refused = machine.free(offered).unwrap_err();
        assert_eq!(refused.error, expected);
        assert_eq!(refused.returned.foreign(), expected);
        if expected.address != block.start().addr().get() {
            give_back(&mut elsewhere, vec![refused.returned]);
        }
    }
    assert_eq!(machine.state_digest(), before);
    let twice = forged(&block, block.layout(), Origin::Boot);
    give_back(&mut machine, vec![block]);
    assert!(machine.free(twice).is_err());
    assert!(machine.balance().is_zero());
}

#[test]
fn refused_requests_change_nothing() {
    let mut machine = two_nodes();
    let kept = machine.alloc_zeroed(layout(80, 8), NODE).unwrap();
    let before = (machine.state_digest(), machine.balance(), machine.allocations());
    machine.faults().fail_nth(Which::Blocks, 0);
    assert!(machine.alloc_zeroed(layout(80, 8), NODE).is_err());
    machine.faults().fail_if(|request| match request.demand {
        Demand::Block { layout, node, origin: Origin::Boot } if layout.size() > 80 && node == NODE => {
            Verdict::Refuse
        }
        _ => Verdict::Grant,
    });
    assert!(machine.alloc_zeroed(layout(81, 8), NODE).is_err());
    assert_eq!(machine.faults().refused(), 2);
    assert_eq!((machine.state_digest(), machine.balance(), machine.allocations()), before);
    let granted = machine.alloc_zeroed(layout(80, 8), NODE).unwrap();
    give_back(&mut machine, vec![kept, granted]);
}

#[test]
fn a_limited_node_counts_as_full() {
    let mut machine = two_nodes();
    machine.faults().limit_node(NODE, 100);
    let first = machine.alloc_zeroed(layout(80, 8), NODE).unwrap();
    let second = machine.alloc_zeroed(layout(80, 8), NODE).unwrap();
    assert!(first.phys().get() < 4 * MIB && second.phys().get() >= 8 * MIB);
    machine.faults().limit_node(OTHER, 0);
    assert!(machine.alloc_zeroed(layout(80, 8), OTHER).is_err());
    assert_eq!(machine.faults().refused(), 0);
    machine.faults().heal();
    let third = machine.alloc_zeroed(layout(80, 8), NODE).unwrap();
    assert!(third.phys().get() < 4 * MIB);
    give_back(&mut machine, vec![first, second, third]);
}

#[test]
fn a_machine_without_memory_is_possible() {
    let mut machine = Machine::new(&MachineConfig::default()).unwrap();
    assert!(machine.alloc_zeroed(layout(16, 16), NODE).is_err());
    assert!(machine.memory().is_empty() && machine.window().is_empty());
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    let unmanaged = MachineConfig::new().unmanaged(bytes(0, GIB));
    let mut machine = Machine::new(&unmanaged).unwrap();
    assert!(machine.alloc_zeroed(layout(16, 16), NODE).is_err());
    assert!(machine.exists(bytes(0, GIB)) && !machine.exists(bytes(0, GIB + 1)));
}

#[test]
fn bad_configurations_name_the_offender() {
    let made = |config: MachineConfig| Machine::new(&config).map(drop);
    let overlap = MachineConfig::new().memory(bytes(0, 2 * GIB), NODE).memory(bytes(GIB, 3 * GIB), OTHER);
    let expected = MachineError::Overlap { first: bytes(0, 2 * GIB), second: bytes(GIB, 3 * GIB) };
    assert_eq!(made(overlap), Err(expected));
    assert_eq!(expected.to_string(), "[0x40000000, 0xc0000000) overlaps [0x0, 0x80000000)");
    let large = MachineConfig::new().memory(bytes(1 << 52, 1 << 53), NODE);
    assert_eq!(made(large), Err(MachineError::TooLarge { end: PhysAddr::new(1 << 53) }));
    let window = MachineConfig::new().vmemmap_bytes(u64::MAX);
    assert_eq!(made(window), Err(MachineError::WindowTooLarge { bytes: u64::MAX }));
    let both = MachineConfig::new().memory(bytes(0, 1 << 46), NODE).vmemmap_bytes(1 << 46);
    let error = made(both).unwrap_err();
    assert!(matches!(error, MachineError::Host { errno: 12, .. }), "{error}");
    assert!(error.to_string().starts_with("the host did not reserve addresses of 0x"));
}

#[test]
fn the_direct_map_goes_both_ways_and_ends() {
    let machine = machine(GIB);
    let pointer = machine.phys_to_virt(PhysAddr::new(0x1234));
    assert_eq!(machine.virt_to_phys(pointer), Some(PhysAddr::new(0x1234)));
    assert_eq!(machine.virt_to_phys(machine.window_ptr()), None);
    let beyond = machine.phys_to_virt(PhysAddr::new(u64::MAX));
    assert_eq!(machine.virt_to_phys(beyond), None);
    assert_eq!(sparsemem_machine::probe(beyond.as_ptr()), sparsemem_machine::Access::Faults);
}

#[test]
fn a_machine_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Machine>();
}
