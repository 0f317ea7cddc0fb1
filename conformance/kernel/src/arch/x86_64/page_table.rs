//! The bits of page-table entries, the root table, and the processor's cache of translations.
//!
//! Source: Intel SDM volume 3, "4-level paging and 5-level paging".

use sparsemem::{LeafSize, PhysAddr, VirtRange};
use sparsemem_suite::Compounds;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr4, Cr4Flags};

use crate::paging::{Target, View};

/// Entries in use may change, so that memory which is up can be folded.
pub(crate) const COMPOUNDS: Compounds = Compounds::Folded;

/// The entry is in use.
const PRESENT: u64 = 1 << 0;
/// Stores are allowed.
const WRITABLE: u64 = 1 << 1;
/// In tables of levels 2 and 3: the entry maps memory.
const LARGE: u64 = 1 << 7;
/// The physical address in an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The top-level table of the kernel's addresses.
pub(crate) fn root() -> PhysAddr {
    PhysAddr::new(Cr3::read_raw().0.start_address().as_u64())
}

/// The number of levels of the tables that the processor uses.
pub(crate) fn levels() -> u32 {
    if Cr4::read().contains(Cr4Flags::L5_PAGING) { 5 } else { 4 }
}

/// The virtual address with these translated bits: the highest of them is repeated in all bits above.
pub(crate) fn canonical(translated: u64) -> u64 {
    let above = 64 - (12 + 9 * levels());
    // A right shift of a signed number repeats the sign.
    (translated.cast_signed() << above >> above).cast_unsigned()
}

/// The target of an entry of a table of `level`.
pub(crate) fn target(entry: u64, level: u32) -> Target {
    match level {
        _ if entry & PRESENT == 0 => Target::Nothing,
        1 => Target::Memory(entry & ADDRESS),
        2 | 3 if entry & LARGE != 0 => Target::Memory(entry & ADDRESS),
        _ => Target::Table(entry & ADDRESS),
    }
}

/// The entry that leads to a table.
pub(crate) const fn table(at: PhysAddr) -> u64 {
    at.get() | PRESENT | WRITABLE
}

/// The entry that maps 2 MiB of RAM.
pub(crate) const fn page(at: PhysAddr) -> u64 {
    at.get() | PRESENT | WRITABLE | LARGE
}

/// Makes the processor use entries that were empty: nothing, because it does not cache empty ones, and sees its own
/// stores in order when it walks tables.
pub(crate) const fn published() {}

/// Removes the translations of a range from the processor.
pub(crate) fn flush(range: VirtRange) {
    /// If there are more pages than this, all translations are removed at once.
    const ONE_BY_ONE: u64 = 64;
    let page = LeafSize::Size4KiB.bytes();
    if range.count().get() / page > ONE_BY_ONE {
        // No mapping of this kernel is global.
        tlb::flush_all();
        return;
    }
    let mut at = range.start().get() / page * page;
    while at < range.end().get() {
        tlb::flush(x86_64::VirtAddr::new_truncate(at));
        at = at.saturating_add(page);
    }
}

/// The ways in which QEMU shows mappings. With five levels `info mem` of QEMU 7.2 takes 20 s and finds nothing;
/// `info tlb` has the same.
pub(crate) fn views() -> &'static [View] {
    if levels() == 4 { &[View::Mappings, View::Ranges] } else { &[View::Mappings] }
}
