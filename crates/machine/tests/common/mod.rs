//! Page tables written by hand, as a model would write them.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::alloc::Layout;
use std::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, ByteLen, LeafSize, MetadataMemory, NodeId, PagingDepth, PhysAddr, PhysMap,
    PhysRange, VirtAddr, VirtRange,
};
use sparsemem_machine::{Machine, MachineConfig};

pub(crate) const NODE: NodeId = NodeId::new(0);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const TIB: u64 = 1 << 40;

/// A test that makes a machine of 64 TiB has the address space for itself.
pub(crate) static ADDRESS_SPACE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Present and writable.
pub(crate) const TABLE: u64 = 0b11;
/// The same, for a large mapping.
pub(crate) const LARGE: u64 = 0b1000_0011;

pub(crate) fn bytes(start: u64, end: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
}

pub(crate) fn layout(size: u64, align: u64) -> Layout {
    Layout::from_size_align(usize::try_from(size).unwrap(), usize::try_from(align).unwrap()).unwrap()
}

/// One node with memory from zero, and a window of 2 GiB.
pub(crate) fn machine(size: u64) -> Machine {
    Machine::new(&MachineConfig::new().memory(bytes(0, size), NODE).vmemmap_bytes(2 * GIB)).unwrap()
}

pub(crate) fn leaf_block(machine: &mut Machine, size: LeafSize) -> Block {
    machine.alloc_zeroed(layout(size.bytes(), size.bytes()), NODE).unwrap()
}

pub(crate) fn give_back(machine: &mut Machine, blocks: Vec<Block>) {
    for block in blocks {
        machine.free(block).map_err(|refused| refused.error).unwrap();
    }
}

/// An address in the window.
pub(crate) fn at(machine: &Machine, offset: u64) -> VirtAddr {
    machine.window().start().checked_add(ByteLen::new(offset)).unwrap()
}

/// A pointer into the window.
pub(crate) fn pointer(machine: &Machine, offset: u64) -> NonNull<u8> {
    assert!(offset < machine.window().count().get());
    // SAFETY: the offset lies in the window, and the pointer has provenance over it.
    unsafe { machine.window_ptr().add(usize::try_from(offset).unwrap()) }
}

pub(crate) fn flush(machine: &mut Machine, offset: u64, len: u64) {
    let start = at(machine, offset);
    machine.flush(VirtRange::from_start_count(start, ByteLen::new(len)).unwrap());
}

/// The entry for `at` in its table of `level`, with tables made on the way (and pushed to `made`).
fn entry(machine: &mut Machine, at: VirtAddr, level: u32, made: &mut Vec<Block>) -> NonNull<u64> {
    let mut table = machine.root();
    let mut above = if machine.depth() == PagingDepth::Five { 5 } else { 4 };
    loop {
        let index = at.get() >> (12 + 9 * (above - 1)) & 511;
        let place = PhysAddr::new(table.get() + 8 * index);
        let place = machine.phys_to_virt(place).cast::<u64>();
        if above == level {
            return place;
        }
        // SAFETY: the entry lies in a table of the simulated machine.
        let mut value = unsafe { place.read() };
        if value == 0 {
            let block = leaf_block(machine, LeafSize::Size4KiB);
            value = block.phys().get() | TABLE;
            made.push(block);
            // SAFETY: as above.
            unsafe { place.write(value) };
        }
        table = PhysAddr::new(value & 0x000f_ffff_ffff_f000);
        above -= 1;
    }
}

pub(crate) fn level_of(size: LeafSize) -> u32 {
    match size {
        LeafSize::Size4KiB => 1,
        LeafSize::Size2MiB => 2,
        _ => 3,
    }
}

/// Writes a raw entry for `at` into its table of `level`; answers with the tables that had to be made.
pub(crate) fn write_entry(machine: &mut Machine, at: VirtAddr, level: u32, value: u64) -> Vec<Block> {
    let mut made = Vec::new();
    let place = entry(machine, at, level, &mut made);
    // SAFETY: the entry lies in a table of the simulated machine.
    unsafe { place.write(value) };
    made
}

/// Enters a leaf and tells the machine; answers with the tables that had to be made.
pub(crate) fn map(machine: &mut Machine, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Vec<Block> {
    let flags = if size == LeafSize::Size4KiB { TABLE } else { LARGE };
    let made = write_entry(machine, at, level_of(size), to.get() | flags);
    machine.linked(at, to, size).unwrap();
    made
}

/// Clears the entry of a leaf.
pub(crate) fn clear(machine: &mut Machine, at: VirtAddr, size: LeafSize) {
    let made = write_entry(machine, at, level_of(size), 0);
    assert!(made.is_empty(), "a leaf that is cleared has its tables");
}
