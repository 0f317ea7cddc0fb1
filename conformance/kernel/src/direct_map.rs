//! The direct map, which maps all physical memory at a fixed distance.
//!
//! # Invariants
//!
//! 1. The physical address `a` is mapped at `DIRECT_MAP + a`, and nowhere else above the lower half: below
//!    [`MAPPED_AT_ENTRY`](crate::arch::MAPPED_AT_ENTRY) from the first instruction on (except the page below the boot
//!    stack), above from [`map`](crate::paging::map) to [`unmap`](crate::paging::unmap).

use core::ptr::NonNull;

use sparsemem::{ByteLen, PhysAddr, PhysRange, VirtAddr, VirtRange};

use crate::arch::DIRECT_MAP;

/// Bytes of virtual addresses of the direct map, enough for 46 bits of physical address.
pub(crate) const LEN_BYTES: u64 = 1 << 46;

/// The pointer to a byte of physical memory; `None` if the direct map has no place for it.
pub(crate) fn to_virt(at: PhysAddr) -> Option<NonNull<u8>> {
    let at = usize::try_from(DIRECT_MAP.checked_add(at.get()).filter(|_| at.get() < LEN_BYTES)?).ok()?;
    // Entry code made the map, so no pointer of Rust has its provenance: it is exposed.
    NonNull::new(core::ptr::with_exposed_provenance_mut(at))
}

/// The physical address of a pointer of the direct map.
pub(crate) fn to_phys(at: NonNull<u8>) -> Option<PhysAddr> {
    let offset = (at.addr().get() as u64).checked_sub(DIRECT_MAP)?;
    (offset < LEN_BYTES).then_some(PhysAddr::new(offset))
}

/// The virtual addresses of a range; `None` if the direct map does not have place for all of it.
pub(crate) fn place(range: PhysRange) -> Option<VirtRange> {
    let start = DIRECT_MAP.checked_add(range.start().get()).filter(|_| range.end().get() <= LEN_BYTES)?;
    VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(range.count().get()))
}
