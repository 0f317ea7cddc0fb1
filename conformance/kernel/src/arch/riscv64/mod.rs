//! QEMU's board `virt` with a riscv64 processor, described by a device tree. OpenSBI starts the kernel in supervisor
//! mode.
//!
//! Source of addresses: QEMU `hw/riscv/virt.c` (`virt_memmap`).

mod entry;
pub(crate) mod firmware_call;

pub(crate) mod hotplug;
pub(crate) mod page_table;
pub(crate) mod processors;
pub(crate) mod serial;
pub(crate) mod trap;

pub(crate) use super::device_tree as firmware;
pub(crate) use super::no_pci as pci;
pub(super) use firmware_call::ticks_per_second;

use core::arch::asm;

use qemu_exit::QEMUExit;
use sparsemem::Geometry;
use sparsemem::primitive::AtomicU64;

/// The geometry: that of Linux, with fewer bits of physical addresses.
///
/// Linux has 56, which are more than a direct map in addresses of 48 bits can have, and a table with an entry for each of
/// their sections takes 8 GiB. With 46, everything fits, as on x86_64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes;

impl Geometry for Sizes {
    const NAME: &'static str = "riscv64-sv48";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 46;
    const SUBSECTION_SHIFT: u32 = 21;
    const PAGEBLOCK_ORDER: u32 = 9;
    type SubsectionMap = [AtomicU64; 1];
    type PageblockFlags = [AtomicU64; 8];
}

/// The virtual address of physical address 0 in the direct map: the first one of the high half.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// The start of the board's RAM, which has OpenSBI.
const RAM: u64 = 2 << 30;
/// Entry code maps the physical addresses of RAM below this one. All RAM below it is mapped.
pub(crate) const MAPPED_AT_ENTRY: u64 = 3 << 30;
/// The descriptor of frame 0 in the kernel's array.
pub(crate) const ARRAY: u64 = 0xffff_d000_0000_0000;
/// The descriptor of frame 0 in the array of the scenarios.
pub(crate) const SCENARIOS_ARRAY: u64 = 0xffff_e000_0000_0000;

/// The board's test device, which entry code maps at its own address.
const TEST: u64 = 0x10_0000;

/// Ends the emulator with a status, by the test device.
pub(crate) fn exit(status: u32) -> ! {
    // SAFETY: the board has the device there, and it only ends the emulator.
    unsafe { qemu_exit::RISCV64::new(TEST) }.exit(status)
}

/// A clock without a unit.
pub(crate) fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: reading the counter changes nothing; OpenSBI allows it to supervisor mode.
    unsafe { asm!("rdtime {}", out(reg) ticks, options(nomem, nostack)) };
    ticks
}
