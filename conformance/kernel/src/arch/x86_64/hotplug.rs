//! The registers of slots for DIMMs, which are ports on QEMU's PCs.
//!
//! Source: QEMU `docs/specs/acpi_mem_hotplug.rst`.

use sparsemem::{PhysAddr, PhysRange};
use x86_64::instructions::port::Port;

/// True if QEMU refuses DIMMs that are not multiples of 2 MiB.
pub(crate) const REFUSES_ODD_BYTES: bool = true;

/// The first port.
const BASE: u16 = 0xa00;

/// The place of DIMMs that firmware says nothing of: none, because the SRAT has the place of all slots.
pub(crate) fn window(_ram_end: PhysAddr) -> PhysRange {
    PhysRange::default()
}

/// Reads the register of four bytes at an offset.
///
/// # Safety
///
/// The machine is one of QEMU's PCs, and no other code uses these ports.
pub(crate) unsafe fn read_word(offset: u16) -> u32 {
    // SAFETY: the caller's promise; reading the register changes nothing.
    unsafe { Port::new(BASE + offset).read() }
}

/// Writes the register of four bytes at an offset.
///
/// # Safety
///
/// As for [`read_word`]; and the device may do what the value asks for.
pub(crate) unsafe fn write_word(offset: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe { Port::new(BASE + offset).write(value) }
}

/// Reads the register of one byte at an offset.
///
/// # Safety
///
/// As for [`read_word`].
pub(crate) unsafe fn read_byte(offset: u16) -> u8 {
    // SAFETY: the caller's promise; reading the register changes nothing.
    unsafe { Port::new(BASE + offset).read() }
}

/// Writes the register of one byte at an offset.
///
/// # Safety
///
/// As for [`write_word`].
pub(crate) unsafe fn write_byte(offset: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { Port::new(BASE + offset).write(value) }
}
