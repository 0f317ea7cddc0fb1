//! The bits of page-table entries, the root table, and the processor's cache of translations.
//!
//! Source: The RISC-V Instruction Set Manual, Volume II, version 20211203, 4.1.11 (`satp`) and 4.3 to 4.5.

use core::arch::asm;

use sparsemem::{PhysAddr, VirtRange};
use sparsemem_page_table::EntryFormat;
use sparsemem_riscv64_page_table::{Riscv64, forget};
use sparsemem_suite::Compounds;

use crate::paging::{Target, View};

/// Entries in use may change, so that memory which is up can be folded.
pub(crate) const COMPOUNDS: Compounds = Compounds::Folded;

/// The entry is in use.
const VALID: u64 = 1 << 0;
/// Loads, stores and fetches of instructions: an entry with none of them leads to a table.
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 2;
const EXECUTE: u64 = 1 << 3;
/// The memory was read and written: without them, the first access may fault.
const ACCESSED: u64 = 1 << 6;
const DIRTY: u64 = 1 << 7;
/// The page number in an entry, and by how many bits it lies lower than in an address.
const PAGE_NUMBER: u64 = ((1 << 44) - 1) << 10;
const LOWER: u32 = 2;

/// The register that says where the root is, and how many levels there are.
fn satp() -> u64 {
    let satp: u64;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("csrr {}, satp", out(reg) satp, options(nomem, nostack)) };
    satp
}

/// The top-level table of the kernel's addresses.
pub(crate) fn root() -> PhysAddr {
    PhysAddr::new((satp() & ((1 << 44) - 1)) << 12)
}

/// The number of levels of the tables that the processor uses.
pub(crate) fn levels() -> u32 {
    match satp() >> 60 {
        8 => 3,
        9 => 4,
        _ => 5,
    }
}

/// The virtual address with these translated bits: the highest of them is repeated in all bits above.
pub(crate) fn canonical(translated: u64) -> u64 {
    let above = 64 - (12 + 9 * levels());
    // A right shift of a signed number repeats the sign.
    (translated.cast_signed() << above >> above).cast_unsigned()
}

/// The target of an entry of a table of `level`.
pub(crate) const fn target(entry: u64, level: u32) -> Target {
    let at = (entry & PAGE_NUMBER) << LOWER;
    match (entry & VALID != 0, entry & (READ | EXECUTE) != 0, level) {
        (true, true, _) => Target::Memory(at),
        (true, false, 2..) => Target::Table(at),
        _ => Target::Nothing,
    }
}

/// The entry that leads to a table.
pub(crate) const fn table(at: PhysAddr) -> u64 {
    at.get() >> LOWER | VALID
}

/// The entry that maps 2 MiB of RAM.
pub(crate) const fn page(at: PhysAddr) -> u64 {
    at.get() >> LOWER | VALID | READ | WRITE | ACCESSED | DIRTY
}

/// Makes the processor use entries that were empty, as the library does.
pub(crate) fn published() {
    Riscv64::published();
}

/// Removes the translations of a range from the processor, as the library does: all of them.
pub(crate) fn flush(_: VirtRange) {
    forget();
}

/// The ways in which QEMU shows mappings.
pub(crate) const fn views() -> &'static [View] {
    &[View::Ranges, View::Translations]
}
