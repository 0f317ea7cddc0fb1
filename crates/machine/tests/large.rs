//! The largest machine that a host can have: 64 TiB, and what it costs.

mod common;

use std::time::{Duration, Instant};

use common::{ADDRESS_SPACE, MIB, NODE, TIB, at, bytes, clear, flush, give_back, layout, map, write_entry};
use sparsemem_core::{LeafSize, MetadataMemory, PhysAddr, PhysMap};
use sparsemem_machine::{Machine, MachineConfig, resident_bytes};

/// The sections of a boot of 64 TiB, each of which has 2 MiB of descriptors.
const SECTIONS: u64 = 524_288;

/// Far beyond what is expected, so that a busy host does not fail the test.
const PATIENCE: Duration = Duration::from_secs(60);

fn huge() -> Machine {
    let config = MachineConfig::new().memory(bytes(0, 64 * TIB), NODE).vmemmap_bytes(TIB);
    Machine::new(&config).unwrap()
}

#[test]
fn making_one_costs_next_to_nothing() {
    let _alone = ADDRESS_SPACE.lock();
    let before = resident_bytes();
    for _ in 0..20 {
        let machine = huge();
        let last = PhysAddr::new(64 * TIB - 1);
        let pointer = machine.phys_to_virt(last);
        assert_eq!(machine.virt_to_phys(pointer), Some(last));
        // SAFETY: the last byte of memory that nobody else uses.
        unsafe { pointer.write(1) };
        assert!(machine.backed_bytes() <= 8192);
    }
    assert!(resident_bytes() < before + 16 * MIB);
}

#[test]
fn half_a_million_leaves_fit() {
    let _alone = ADDRESS_SPACE.lock();
    let mut machine = huge();
    let begin = Instant::now();
    let digest = machine.state_digest();
    let (mut leaves, mut usages, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    let size = LeafSize::Size2MiB;
    for section in 0..SECTIONS {
        usages.push(machine.alloc_zeroed(layout(80, 8), NODE).unwrap());
        let leaf = machine.alloc_zeroed(layout(size.bytes(), size.bytes()), NODE).unwrap();
        let place = at(&machine, section * size.bytes());
        tables.extend(map(&mut machine, place, leaf.phys(), size));
        leaves.push(leaf);
    }
    println!("boot: {:?}", begin.elapsed());
    let begin_compare = Instant::now();
    machine.mirror_matches_tables().unwrap();
    println!("compare: {:?}", begin_compare.elapsed());
    assert_eq!(machine.mirrored().count() as u64, SECTIONS);
    assert_eq!(machine.balance().total().blocks, 2 * SECTIONS + tables.len() as u64);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.lines().count() < 2000, "contiguous leaves are one mapping");
    assert!(machine.backed_bytes() < 128 * MIB, "descriptors that nobody touched cost nothing");

    let begin_teardown = Instant::now();
    for (section, leaf) in (0..SECTIONS).zip(leaves) {
        let place = at(&machine, section * size.bytes());
        clear(&mut machine, place, size);
        flush(&mut machine, section * size.bytes(), size.bytes());
        give_back(&mut machine, vec![leaf]);
    }
    give_back(&mut machine, usages);
    for offset in [0, TIB / 2, TIB - 1] {
        let place = at(&machine, offset);
        write_entry(&mut machine, place, 4, 0);
    }
    give_back(&mut machine, tables);
    println!("teardown: {:?}", begin_teardown.elapsed());
    assert!(machine.mirrored().next().is_none());
    assert_eq!(machine.state_digest(), digest);
    assert!(begin.elapsed() < PATIENCE);
}
