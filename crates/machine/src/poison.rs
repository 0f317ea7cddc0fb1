//! Reports to address sanitizer the bytes that must not be accessed.
//!
//! The sanitizer knows only its own heap, and all metadata of a model lies in simulated memory. With
//! `--cfg sparsemem_asan` and `-Zsanitizer=address`, this module reports freed blocks to it, so that the sanitizer
//! stops the program at an access to one. Otherwise this module does nothing.
//!
//! # Invariants
//!
//! 1. Addresses are open when they are given back to the host, so that later mappings there are not affected.

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

/// Records cover pieces of this many bytes, because a machine may have far more memory than is ever used.
#[cfg(sparsemem_asan)]
const PIECE: usize = 16 << 20;

/// The addresses that may be shut.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    /// Numbers of pieces.
    #[cfg(sparsemem_asan)]
    pieces: Mutex<BTreeSet<usize>>,
}

impl Poison {
    /// Makes the sanitizer stop the program at an access to the bytes from now on.
    pub(crate) fn shut(&self, start: NonNull<u8>, bytes: usize) {
        #[cfg(sparsemem_asan)]
        {
            let (first, last) = (start.addr().get() / PIECE, (start.addr().get() + bytes) / PIECE);
            self.pieces.lock().unwrap_or_else(PoisonError::into_inner).extend(first..=last);
            // SAFETY: this changes the sanitizer's records, and no byte of the program's.
            unsafe { __asan_poison_memory_region(start.as_ptr().cast(), bytes) };
        }
        let _ = (self, start, bytes);
    }

    /// Allows access to the bytes.
    pub(crate) fn open(&self, start: NonNull<u8>, bytes: usize) {
        #[cfg(sparsemem_asan)]
        // SAFETY: as in `shut`.
        unsafe {
            __asan_unpoison_memory_region(start.as_ptr().cast(), bytes);
        }
        let _ = (self, start, bytes);
    }

    /// Allows access to all bytes of a range.
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
