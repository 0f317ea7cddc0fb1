//! Telling address sanitizer which bytes nobody may touch.
//!
//! The sanitizer knows its own heap only, and all metadata of a model lies in simulated memory. With
//! `--cfg sparsemem_asan`, beside `-Zsanitizer=address`, freed blocks are made known to it, so that whoever touches one is
//! stopped on the spot. Otherwise nothing here does anything.
//!
//! # Invariants
//!
//! 1. Addresses are open when they go back to the host: nobody else who maps there finds them shut.

#[cfg(sparsemem_asan)]
use std::collections::BTreeSet;
use std::ptr::NonNull;
#[cfg(sparsemem_asan)]
use std::sync::{Mutex, PoisonError};

#[cfg(sparsemem_asan)]
unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const core::ffi::c_void, bytes: usize);
    fn __asan_unpoison_memory_region(start: *const core::ffi::c_void, bytes: usize);
}

/// What is noted is noted in pieces of this size, for a machine may have far more memory than was ever used.
#[cfg(sparsemem_asan)]
const PIECE: usize = 16 << 20;

/// Which addresses may be shut.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    /// Numbers of pieces.
    #[cfg(sparsemem_asan)]
    pieces: Mutex<BTreeSet<usize>>,
}

impl Poison {
    /// Stops whoever touches the bytes from now on.
    pub(crate) fn shut(&self, start: NonNull<u8>, bytes: usize) {
        #[cfg(sparsemem_asan)]
        {
            let (first, last) = (start.addr().get() / PIECE, (start.addr().get() + bytes) / PIECE);
            self.pieces.lock().unwrap_or_else(PoisonError::into_inner).extend(first..=last);
            // SAFETY: it changes what the sanitizer believes, and no byte of the program's.
            unsafe { __asan_poison_memory_region(start.as_ptr().cast(), bytes) };
        }
        let _ = (self, start, bytes);
    }

    /// Lets the bytes be used.
    pub(crate) fn open(&self, start: NonNull<u8>, bytes: usize) {
        #[cfg(sparsemem_asan)]
        // SAFETY: as in `shut`.
        unsafe {
            __asan_unpoison_memory_region(start.as_ptr().cast(), bytes);
        }
        let _ = (self, start, bytes);
    }

    /// Lets all bytes of a range be used.
    pub(crate) fn open_all(&self, start: NonNull<u8>, bytes: usize) {
        #[cfg(sparsemem_asan)]
        {
            let range = start.addr().get()..start.addr().get() + bytes;
            for piece in std::mem::take(&mut *self.pieces.lock().unwrap_or_else(PoisonError::into_inner)) {
                let from = range.start.max(piece * PIECE);
                let to = range.end.min((piece + 1) * PIECE);
                // SAFETY: as in `shut`.
                unsafe {
                    __asan_unpoison_memory_region(
                        start.as_ptr().wrapping_add(from - range.start).cast(),
                        to.saturating_sub(from),
                    );
                }
            }
        }
        let _ = (self, start, bytes);
    }
}
