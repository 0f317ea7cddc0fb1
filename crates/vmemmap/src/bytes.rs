//! The bytes of descriptors, as memory: compared and copied while readers read them.
//!
//! # Invariants
//!
//! 1. Bytes are read as atomics: readers may read them at the same time, through mappings of other types.
//! 2. Bytes are written to memory only that no other code has.

use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use sparsemem_core::{PhysAddr, PhysMap};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Memory as atomics.
///
/// # Safety
///
/// `start` is aligned to `A`, and for `'m` points to `count` of them, which nobody accesses but by loads, unless this is the
/// only code that has them.
unsafe fn atomics<'m, A>(start: NonNull<u8>, count: usize) -> &'m [A] {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start.cast().as_ptr(), count) }
}

fn words<E: PhysMap>(env: &E, at: PhysAddr, bytes: usize) -> &[AtomicU64] {
    // SAFETY: `at` is the start of a page or of a descriptor in one, in memory that the array maps or is about to map. It is
    // aligned: descriptors of a word and more are powers of two.
    unsafe { atomics(env.phys_to_virt(at), bytes / WORD) }
}

fn single<E: PhysMap>(env: &E, at: PhysAddr, bytes: usize) -> &[AtomicU8] {
    // SAFETY: as in `words`.
    unsafe { atomics(env.phys_to_virt(at), bytes) }
}

/// The place of the first byte that differs between two pieces of memory; `bytes` is a power of two.
pub(crate) fn first_difference<E: PhysMap>(
    env: &E,
    one: PhysAddr,
    other: PhysAddr,
    bytes: usize,
) -> Option<usize> {
    // Relaxed, here and below: whoever wrote a descriptor has finished, which a grace period or the caller's promise says.
    if bytes >= WORD {
        let pairs = words(env, one, bytes).iter().zip(words(env, other, bytes));
        let differing = pairs.map(|(one, other)| one.load(Ordering::Relaxed) ^ other.load(Ordering::Relaxed));
        let (at, difference) = differing.enumerate().find(|(_, difference)| *difference != 0)?;
        return Some(at * WORD + difference.to_le().trailing_zeros() as usize / 8);
    }
    let mut pairs = single(env, one, bytes).iter().zip(single(env, other, bytes));
    // Relaxed: as above.
    pairs.position(|(one, other)| one.load(Ordering::Relaxed) != other.load(Ordering::Relaxed))
}

/// True if all bytes are zero.
pub(crate) fn is_zero<E: PhysMap>(env: &E, at: PhysAddr, bytes: usize) -> bool {
    // Relaxed: as above.
    single(env, at, bytes).iter().all(|byte| byte.load(Ordering::Relaxed) == 0)
}

/// Copies a page to one that no other code has.
pub(crate) fn copy<E: PhysMap>(env: &E, from: PhysAddr, to: PhysAddr, bytes: usize) {
    for (from, to) in words(env, from, bytes).iter().zip(words(env, to, bytes)) {
        // Relaxed, both: as above, and the store of the entry that maps the copy publishes it.
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Fills a page that no other code has with copies of the `size` bytes at `like`.
pub(crate) fn repeat<E: PhysMap>(env: &E, like: PhysAddr, size: usize, to: PhysAddr, bytes: usize) {
    let like = single(env, like, size);
    for (to, like) in single(env, to, bytes).iter().zip(like.iter().cycle()) {
        // Relaxed, both: as above.
        to.store(like.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
