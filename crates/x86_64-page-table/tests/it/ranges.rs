//! Addresses and policies that the tests have in common.

use sparsemem_core::{ByteLen, LeafSize, PagingDepth, VirtAddr, VirtRange};
use sparsemem_page_table::Choice;

/// The start of an array that has tables to itself.
pub(crate) const BASE: u64 = 0xffff_ea00_0000_0000;
pub(crate) const MIB2: u64 = 2 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const DEPTHS: [PagingDepth; 2] = [PagingDepth::Four, PagingDepth::Five];
pub(crate) const SIZES: [LeafSize; 3] = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB];

pub(crate) fn range(start: u64, len_bytes: u64) -> VirtRange {
    VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(len_bytes)).unwrap()
}

/// The range from `start` to the end of the address space, as far as a range can say it: without the last byte.
pub(crate) fn up_to_top(start: u64) -> VirtRange {
    VirtRange::new(VirtAddr::new(start), VirtAddr::new(u64::MAX)).unwrap()
}

/// The last byte in `range`.
pub(crate) fn last(range: VirtRange) -> VirtAddr {
    range.end().checked_sub(ByteLen::new(1)).unwrap()
}

/// A policy that takes the largest leaf up to `max`.
pub(crate) fn up_to(max: LeafSize) -> impl Fn(VirtRange, LeafSize) -> Choice {
    move |_, size| if size <= max { Choice::Place } else { Choice::Smaller }
}

/// The first address of the upper half.
pub(crate) fn upper(depth: PagingDepth) -> u64 {
    if depth == PagingDepth::Five { 0xff00_0000_0000_0000 } else { 0xffff_8000_0000_0000 }
}
