//! The host has no more mappings to give here. The test is alone in its process, which is then short of them.

mod common;

use common::{GIB, NODE, bytes, machine};
use sparsemem_core::{AddressSpace, ByteLen, LeafSize, PhysAddr, VirtRange};
use sparsemem_machine::{Machine, MachineConfig};

/// More mappings than a process has by default.
const MANY: u64 = 70_000;
const FRAME: u64 = LeafSize::Size4KiB.bytes();

/// Links leaves in descending physical order, so that no two can be one mapping of the host; answers how many it took.
fn link_until_refused(machine: &mut Machine) -> u64 {
    let start = machine.window().start();
    for index in 0..MANY {
        let at = start.saturating_add(ByteLen::new(index * FRAME));
        let to = PhysAddr::new((MANY - index) * FRAME);
        if machine.linked(at, to, LeafSize::Size4KiB).is_err() {
            return index;
        }
    }
    MANY
}

#[test]
fn a_host_without_mappings_left_is_a_refusal() {
    let config = MachineConfig::new().memory(bytes(0, GIB), NODE).vmemmap_bytes(GIB);
    let mut machine = Machine::new(&config).unwrap();
    let taken = link_until_refused(&mut machine);
    // Some hosts allow far more; then there is nothing to see.
    assert_eq!(machine.mirrored().count() as u64, taken);
    let window = machine.window();
    // No entry was ever written, so a flush of anything takes all of it away; in parts, to be short of mappings still.
    for part in 0..512 {
        let start = window.start().saturating_add(ByteLen::new(part * 512 * FRAME));
        machine.flush(VirtRange::from_start_count(start, ByteLen::new(512 * FRAME)).unwrap());
    }
    assert_eq!(machine.mirrored().count(), 0);
    // Whether the host joins what is left there is its business; with the machine everything goes.
    drop(machine);
    let mut another = self::machine(GIB);
    let again = link_until_refused(&mut another);
    assert!(again.abs_diff(taken) < 100, "{taken} before, {again} after");
    let window = another.window();
    another.flush(window);
}
