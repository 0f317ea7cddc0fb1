//! Memory of the host that is set to something: what initialising descriptors is compared with.
//!
//! How fast a machine writes can depend on what is written: some move lines of zeros, or halves of lines, faster than
//! others. So there is more than one reference.
//!
//! # Invariants
//!
//! 1. All of the memory was touched before anything is timed.

use std::ptr::NonNull;

use crate::ground::{Mapping, Pages};

/// The memory.
#[derive(Debug)]
pub(super) struct Memory {
    start: Raw,
    bytes: usize,
    _mapping: Mapping,
}

impl Memory {
    /// As much as is asked for, on large pages; a multiple of two base pages.
    pub(super) fn new(bytes: usize) -> Self {
        let mapping = Mapping::new(bytes, Pages::Huge);
        Self { start: Raw(mapping.aligned()), bytes, _mapping: mapping }
    }

    /// Sets every byte to `byte`, as the C library does.
    pub(super) fn set(&self, byte: u8) {
        // SAFETY: the mapping is as long, and who measures does one thing after the other.
        unsafe { self.start.set(self.bytes, byte) };
    }

    /// The same by two threads, one half each.
    pub(super) fn set_in_halves(&self, byte: u8) {
        let (lower, half) = (self.start, self.bytes / 2);
        // SAFETY: the middle of the memory.
        let upper = Raw(unsafe { lower.0.add(half) });
        std::thread::scope(|scope| {
            // SAFETY: as in `set`, and the halves do not overlap.
            scope.spawn(move || unsafe { { upper }.set(half, byte) });
            // SAFETY: as above.
            unsafe { lower.set(half, byte) };
        });
    }

    /// Stores copies of `line` one after the other, around the caches where the processor can.
    pub(super) fn stream(&self, line: Line) {
        for offset in (0..self.bytes).step_by(size_of::<Line>()) {
            // SAFETY: the mapping is as long.
            let to = unsafe { self.start.0.add(offset) };
            // SAFETY: as above; lines begin on multiples of their size, and nobody else uses the memory.
            unsafe { store(to.cast(), line) };
        }
    }
}

/// What a cache line holds.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u64; 8]);

/// Stores one line.
///
/// # Safety
///
/// The target may be written, and nobody else uses it.
#[inline(always)]
unsafe fn store(to: NonNull<Line>, line: Line) {
    #[cfg(target_arch = "x86_64")]
    for part in 0..4 {
        use std::arch::x86_64::{__m128i, _mm_load_si128, _mm_stream_si128};
        let from = (&raw const line).cast::<__m128i>().wrapping_add(part);
        let to = to.as_ptr().cast::<__m128i>().wrapping_add(part);
        // SAFETY: a quarter of a line, aligned as a line is.
        let word = unsafe { _mm_load_si128(from) };
        // SAFETY: as above, and the caller promises that it may be written.
        unsafe { _mm_stream_si128(to, word) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        to.write_volatile(line);
    }
}

/// Memory that is written by whoever has it.
#[derive(Clone, Copy, Debug)]
struct Raw(NonNull<u8>);

// SAFETY: two threads write different halves of the memory.
unsafe impl Send for Raw {}

impl Raw {
    /// Sets memory as the C library does.
    ///
    /// # Safety
    ///
    /// As many bytes may be written, and nobody else uses them.
    unsafe fn set(self, bytes: usize, byte: u8) {
        // SAFETY: the caller's promise.
        unsafe { self.0.write_bytes(byte, bytes) };
        std::hint::black_box(self.0);
    }
}
