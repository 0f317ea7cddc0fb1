//! QEMU's PCs: x86_64, booted through PVH, described by ACPI tables.

mod acpi;
mod apic;
mod entry;
mod local;
mod start;
mod start_info;

pub(crate) mod firmware;
pub(crate) mod hotplug;
#[cfg(not(doc))]
mod mem_functions;
pub(crate) mod page_table;
pub(crate) mod pci;
pub(crate) mod processors;
pub(crate) mod serial;
pub(crate) mod trap;

use core::arch::x86_64::_rdtsc;

use x86_64::instructions::hlt;
use x86_64::instructions::port::Port;

/// The geometry: that of Linux with four levels of page tables.
pub(crate) type Sizes = sparsemem::presets::X86_64;

/// The virtual address of physical address 0 in the direct map, which is that of Linux with four levels.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
/// Entry code maps the physical addresses below this one. All memory below it is mapped.
pub(crate) const MAPPED_AT_ENTRY: u64 = 4 << 30;
/// The descriptor of frame 0 in the kernel's array: the address of Linux with four levels.
pub(crate) const ARRAY: u64 = 0xffff_ea00_0000_0000;
/// The descriptor of frame 0 in the array of the scenarios.
pub(crate) const SCENARIOS_ARRAY: u64 = 0xffff_d000_0000_0000;

/// QEMU's `isa-debug-exit`, as the host configures it. QEMU's exit status is twice the value plus one.
const DEBUG_EXIT: u16 = 0xf4;

/// Ends the emulator with an odd status; on a machine without the device, stops the processor.
pub(crate) fn exit(status: u32) -> ! {
    let mut port = Port::<u32>::new(DEBUG_EXIT);
    // SAFETY: nothing but the device answers at this port, and the device only ends the emulator.
    unsafe { port.write(status / 2) };
    loop {
        hlt();
    }
}

/// A clock without a unit.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86_64 processor has the counter, and reading it changes nothing.
    unsafe { _rdtsc() }
}
