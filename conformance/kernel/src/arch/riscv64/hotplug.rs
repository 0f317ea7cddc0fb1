//! The registers of slots for DIMMs, which this board does not have: no access reaches a device, and reads give ones, as
//! they do on a bus where nobody answers.

use sparsemem::{PhysAddr, PhysRange};

/// True if QEMU refuses DIMMs that are not multiples of 2 MiB: it refuses all.
pub(crate) const REFUSES_ODD_BYTES: bool = true;

/// The place of DIMMs that firmware says nothing of: none.
pub(crate) fn window(_ram_end: PhysAddr) -> PhysRange {
    PhysRange::default()
}

/// Reads the register of four bytes at an offset.
///
/// # Safety
///
/// None here.
pub(crate) const unsafe fn read_word(_: u16) -> u32 {
    u32::MAX
}

/// Writes the register of four bytes at an offset.
///
/// # Safety
///
/// None here.
pub(crate) const unsafe fn write_word(_: u16, _: u32) {}

/// Reads the register of one byte at an offset.
///
/// # Safety
///
/// None here.
pub(crate) const unsafe fn read_byte(_: u16) -> u8 {
    u8::MAX
}

/// Writes the register of one byte at an offset.
///
/// # Safety
///
/// None here.
pub(crate) const unsafe fn write_byte(_: u16, _: u8) {}
