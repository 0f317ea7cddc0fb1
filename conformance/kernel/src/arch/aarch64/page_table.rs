//! The bits of page-table entries with pages of 4 KiB, the root table, and the processor's cache of translations.
//!
//! Source: Arm ARM (DDI 0487), D8.3.

use core::arch::asm;

use sparsemem::{PhysAddr, VirtRange};
use sparsemem_aarch64_page_table::{Aarch64, PagesOf};
use sparsemem_page_table::EntryFormat;
use sparsemem_suite::Compounds;

use super::Sizes;
use crate::paging::{Target, View};

/// Entries in use have to be empty before they change, so that compounds are folded only when they are added.
pub(crate) const COMPOUNDS: Compounds = Compounds::FoldedWhenAdded;

/// The entry is in use.
const VALID: u64 = 1 << 0;
/// The entry leads to a table or, in the lowest level, to a page.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Inner shareable.
const SHAREABLE: u64 = 3 << 8;
/// The memory was accessed: without it, the first access faults.
const ACCESSED: u64 = 1 << 10;
/// No instructions are fetched there, at EL1 and at EL0.
const NO_CODE: u64 = 3 << 53;
/// The physical address in an entry.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// The table that the processor uses for the kernel's addresses, those of the high end.
pub(crate) fn root() -> PhysAddr {
    let root: u64;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mrs {}, ttbr1_el1", out(reg) root, options(nomem, nostack)) };
    PhysAddr::new(root & ADDRESS)
}

/// The number of levels of the tables: entry code sets up addresses of 48 bits.
pub(crate) const fn levels() -> u32 {
    4
}

/// The virtual address with these translated bits: `TTBR1_EL1` translates those with ones above.
pub(crate) const fn canonical(translated: u64) -> u64 {
    translated | u64::MAX << 48
}

/// The target of an entry of a table of `level`.
pub(crate) const fn target(entry: u64, level: u32) -> Target {
    match (entry & VALID != 0, entry & TABLE_OR_PAGE != 0, level) {
        (true, true, 1) | (true, false, 2 | 3) => Target::Memory(entry & ADDRESS),
        (true, true, _) => Target::Table(entry & ADDRESS),
        _ => Target::Nothing,
    }
}

/// The entry that leads to a table.
pub(crate) const fn table(at: PhysAddr) -> u64 {
    at.get() | VALID | TABLE_OR_PAGE
}

/// The entry that maps 2 MiB of RAM, with the first attribute of `MAIR_EL1`.
pub(crate) const fn page(at: PhysAddr) -> u64 {
    at.get() | VALID | SHAREABLE | ACCESSED | NO_CODE
}

/// The format of the library, of which this kernel uses what it does beside entries.
type Format = Aarch64<PagesOf<Sizes>>;

/// Makes the processor use entries that were empty.
pub(crate) fn published() {
    Format::published();
}

/// Removes the translations of a range from the processor.
pub(crate) fn flush(range: VirtRange) {
    Format::forget(range);
}

/// Removes all translations from the calling processor alone: a flush that a broken variant of this kernel makes.
pub(crate) fn flush_here() {
    // SAFETY: what the processor forgets it reads again.
    unsafe { asm!("dsb ishst", "tlbi vmalle1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// The ways in which QEMU shows mappings: it has no list of them for this processor.
pub(crate) const fn views() -> &'static [View] {
    &[View::Translations]
}
