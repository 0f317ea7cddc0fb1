//! The direct map: all physical memory, at a distance.
//!
//! # Invariants
//!
//! 1. The physical address `a` is mapped at `DIRECT_MAP + a`, and nowhere else above the lower half: below 4 GiB from the
//!    first instruction on (all but the page below the boot stack), above from [`map`] to [`unmap`].

use core::ptr::NonNull;

use sparsemem::{ByteLen, PhysAddr, PhysRange, VirtAddr, VirtRange};

use super::paging;

/// Where physical address 0 is mapped: Linux' place with four levels.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

/// Bytes that there are virtual addresses for: all that 46 bits of physical address reach.
pub(crate) const LEN_BYTES: u64 = 1 << 46;

/// The entry of its fourth-level table that the map begins with.
pub(super) const SLOT: u64 = (DIRECT_MAP >> 39) & 511;

/// What is mapped before any Rust runs.
const MAPPED_AT_ENTRY: u64 = 4 << 30;

/// Units: bytes. The pages that the map is made of.
const PAGE: u64 = 2 << 20;

/// Where a byte of physical memory can be reached; `None` where there is no place for it.
pub(crate) fn to_virt(at: PhysAddr) -> Option<NonNull<u8>> {
    let at = usize::try_from(DIRECT_MAP.checked_add(at.get()).filter(|_| at.get() < LEN_BYTES)?).ok()?;
    // The map was made by entry code, which no pointer of Rust knows of: its provenance is exposed.
    NonNull::new(core::ptr::with_exposed_provenance_mut(at))
}

/// The physical address behind a pointer of the direct map.
pub(crate) fn to_phys(at: NonNull<u8>) -> Option<PhysAddr> {
    let offset = (at.addr().get() as u64).checked_sub(DIRECT_MAP)?;
    (offset < LEN_BYTES).then_some(PhysAddr::new(offset))
}

/// There was no memory for a table of the direct map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the page tables of the direct map at {at}")]
pub(crate) struct NoTable {
    /// The first physical address that is not mapped.
    pub(crate) at: PhysAddr,
}

/// Maps a range, whose tables are made of zeroed frames from `new_table`. What is mapped already stays.
///
/// # Errors
///
/// [`NoTable`]; what comes before its address is mapped.
pub(crate) fn map(range: PhysRange, new_table: &mut dyn FnMut() -> Option<PhysAddr>) -> Result<(), NoTable> {
    let start = range.start().get().max(MAPPED_AT_ENTRY) / PAGE * PAGE;
    let mut at = start;
    while at < range.end().get().min(LEN_BYTES) {
        let to = PhysAddr::new(at);
        paging::map_large(DIRECT_MAP + at, to, new_table).ok_or(NoTable { at: to })?;
        at += PAGE;
    }
    Ok(())
}

/// Takes the mapping of a range away that has gone: of all pages that lie wholly in it, since others are needed for what
/// is beside it. What entry code mapped stays.
pub(crate) fn unmap(range: PhysRange) {
    let first = range.start().get().max(MAPPED_AT_ENTRY).next_multiple_of(PAGE);
    let end = range.end().get().min(LEN_BYTES) / PAGE * PAGE;
    let mut at = first;
    while at < end {
        paging::unmap_large(DIRECT_MAP + at);
        at += PAGE;
    }
    place(range).into_iter().for_each(paging::flush);
}

/// The virtual addresses of a range; `None` where there are none for all of it.
pub(crate) fn place(range: PhysRange) -> Option<VirtRange> {
    let start = DIRECT_MAP.checked_add(range.start().get()).filter(|_| range.end().get() <= LEN_BYTES)?;
    VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(range.count().get()))
}
