//! QEMU's board `virt` with an arm64 processor, described by a device tree. The kernel runs at EL1.
//!
//! Source of addresses: QEMU `hw/arm/virt.c` (`base_memmap`).

mod entry;
pub(crate) mod firmware_call;
mod gic;

pub(crate) mod hotplug;
pub(crate) mod page_table;
pub(crate) mod processors;
pub(crate) mod serial;
pub(crate) mod trap;

pub(crate) use super::device_tree as firmware;
pub(crate) use super::no_pci as pci;

use core::arch::asm;

use qemu_exit::QEMUExit;

/// The geometry: that of Linux with pages of 4 KiB.
pub(crate) type Sizes = sparsemem::presets::Arm64Page4K;

/// The virtual address of physical address 0 in the direct map: the first one that `TTBR1_EL1` translates.
pub(crate) const DIRECT_MAP: u64 = 0xffff_0000_0000_0000;
/// The start of the board's RAM, which has the device tree.
const RAM: u64 = 1 << 30;
/// Entry code maps the physical addresses of RAM below this one. All RAM below it is mapped.
pub(crate) const MAPPED_AT_ENTRY: u64 = 2 << 30;
/// The descriptor of frame 0 in the kernel's array.
pub(crate) const ARRAY: u64 = 0xffff_8000_0000_0000;
/// The descriptor of frame 0 in the array of the scenarios.
pub(crate) const SCENARIOS_ARRAY: u64 = 0xffff_a000_0000_0000;

/// Ends the emulator with a status, by semihosting.
pub(crate) fn exit(status: u32) -> ! {
    qemu_exit::AArch64::new().exit(status)
}

/// A clock without a unit.
pub(crate) fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: reading the counter changes nothing; EL1 always may (Arm ARM D12.1).
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

/// The number of ticks of the clock in a second.
pub(super) fn ticks_per_second() -> u64 {
    let ticks: u64;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}
