//! The registers of slots for DIMMs, which are in memory beside those of the ACPI event device.
//!
//! QEMU has them if the board has firmware (`-bios`), because ACPI tables are part of it; the kernel needs no table.
//!
//! Source: QEMU `docs/specs/acpi_mem_hotplug.rst`; `hw/arm/virt.c` (`VIRT_PCDIMM_ACPI`, `virt_set_memmap`).

use core::ptr::with_exposed_provenance_mut;

use sparsemem::{PhysAddr, PhysRange};

use super::trap;
use crate::dimm::CONTROL;

/// True if QEMU refuses DIMMs that are not multiples of 2 MiB. It does not: QEMU 7.2 does not answer any more if it is
/// asked for one.
pub(crate) const REFUSES_ODD_BYTES: bool = false;

/// The first register.
const BASE: usize = 0x0907_0000;

/// DIMMs begin at a multiple of it.
const BORDER: u64 = 1 << 30;

/// The place of DIMMs that firmware says nothing of, on a board whose RAM ends at an address: from the next border on, if the
/// board has slots. The device tree has neither them nor their place.
pub(crate) fn window(ram_end: PhysAddr) -> PhysRange {
    // Without slots the load faults.
    let has_slots = trap::read_byte((BASE + usize::from(CONTROL)) as u64).is_some();
    let start = ram_end.get().checked_next_multiple_of(BORDER).filter(|_| has_slots);
    let start = PhysAddr::new(start.unwrap_or(u64::MAX));
    PhysRange::new(start, PhysAddr::new(u64::MAX)).unwrap_or_default()
}

/// The place of a register. Entry code maps it, at its own address.
fn register<T>(offset: u16) -> *mut T {
    with_exposed_provenance_mut(BASE + usize::from(offset))
}

/// Reads the register of four bytes at an offset.
///
/// # Safety
///
/// The machine is QEMU's `virt` with firmware and slots, and no other code uses these registers.
pub(crate) unsafe fn read_word(offset: u16) -> u32 {
    // SAFETY: the caller's promise; reading the register changes nothing.
    unsafe { register::<u32>(offset).read_volatile() }
}

/// Writes the register of four bytes at an offset.
///
/// # Safety
///
/// As for [`read_word`]; and the device may do what the value asks for.
pub(crate) unsafe fn write_word(offset: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe { register::<u32>(offset).write_volatile(value) }
}

/// Reads the register of one byte at an offset.
///
/// # Safety
///
/// As for [`read_word`].
pub(crate) unsafe fn read_byte(offset: u16) -> u8 {
    // SAFETY: the caller's promise; reading the register changes nothing.
    unsafe { register::<u8>(offset).read_volatile() }
}

/// Writes the register of one byte at an offset.
///
/// # Safety
///
/// As for [`write_word`].
pub(crate) unsafe fn write_byte(offset: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { register::<u8>(offset).write_volatile(value) }
}
