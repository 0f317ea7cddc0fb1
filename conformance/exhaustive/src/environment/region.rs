//! A zeroed block of the host's memory, accessed by offsets.
//!
//! # Invariants
//!
//! 1. `start` leads to `layout.size()` bytes that belong to this region alone for good: nothing frees them, because a
//!    model that somebody else keeps may still lead to them after a walk.
//! 2. Every access in this module is checked against the size first.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ptr::NonNull;

/// A block of the host's memory.
pub(super) struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

impl Region {
    /// Zeroed memory with this layout, which must not be empty.
    pub(super) fn new(layout: Layout) -> Self {
        assert!(layout.size() > 0, "a region has bytes");
        // SAFETY: the assertion above ensures that the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }

    /// The first byte of the region.
    pub(super) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The region's size in bytes.
    pub(super) const fn len(&self) -> usize {
        self.layout.size()
    }

    /// A pointer to the byte at an offset. An offset outside gives the first byte, so that the pointer always points
    /// into the region.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        let inside = if offset < self.len() { offset } else { 0 };
        // SAFETY: the offset is below the size of the region, which is one allocation (invariant 1).
        unsafe { self.start.add(inside) }
    }

    /// The offset of an address of the region.
    pub(super) fn offset_of(&self, address: usize) -> Option<usize> {
        address.checked_sub(self.start.addr().get()).filter(|offset| *offset < self.len())
    }

    /// Sets those of the bytes that lie in the region.
    pub(super) fn fill(&mut self, offset: usize, len: usize, value: u8) {
        let len = len.min(self.len().saturating_sub(offset));
        // SAFETY: `len` bytes from the offset lie in the region (invariant 2), which accepts any bytes.
        unsafe { self.at(offset).write_bytes(value, len) };
    }

    /// The 64-bit word at an offset; zero if the offset lies outside or is not a multiple of eight.
    pub(super) fn word(&self, offset: usize) -> u64 {
        if !offset.is_multiple_of(8) || offset + 8 > self.len() {
            return 0;
        }
        // SAFETY: (1) eight bytes from the offset lie in the region; (2) they are aligned, as the region is to pages
        // at least; (3) they were initialised when it was allocated; (4) no other code writes meanwhile, because
        // there is one thread.
        unsafe { self.at(offset).cast::<u64>().read() }
    }
}
