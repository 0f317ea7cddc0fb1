//! The bytes of descriptors, as memory: compared and copied while readers read them.
//!
//! # Invariants
//!
//! 1. Bytes are accessed as atomics: readers may read them at the same time, through mappings and as other types.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use sparsemem_core::{PhysAddr, PhysMap};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// The memory of a page of descriptors, or of one descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'m> {
    start: NonNull<u8>,
    count: usize,
    memory: PhantomData<&'m [AtomicU8]>,
}

impl<'m> Bytes<'m> {
    /// `count` bytes at `at`.
    ///
    /// # Safety
    ///
    /// They are memory that the environment gave out, a power of two and aligned to that, and stay so for `'m`. Nobody stores
    /// there meanwhile but by this.
    pub(crate) unsafe fn at<E: PhysMap>(env: &E, at: PhysAddr, count: usize) -> Self {
        Self { start: env.phys_to_virt(at), count, memory: PhantomData }
    }

    fn words(self) -> &'m [AtomicU64] {
        // SAFETY: the bytes are there for `'m`, aligned to their number or to a word, and change through atomics only (`at`).
        unsafe { slice::from_raw_parts(self.start.cast().as_ptr(), self.count / WORD) }
    }

    fn single(self) -> &'m [AtomicU8] {
        // SAFETY: as in `words`.
        unsafe { slice::from_raw_parts(self.start.cast().as_ptr(), self.count) }
    }

    /// The place of the first byte that differs from as many others.
    pub(crate) fn first_difference(self, other: Self) -> Option<usize> {
        // Relaxed, here and below: whoever wrote a descriptor has finished, by a grace period or by the caller's promise; and
        // the store of an entry publishes what is copied (Release, in the page tables).
        if self.count >= WORD {
            let mut pairs = self.words().iter().zip(other.words()).enumerate();
            return pairs.find_map(|(at, (one, other))| {
                // Relaxed, both: as above.
                let difference = one.load(Ordering::Relaxed) ^ other.load(Ordering::Relaxed);
                let byte = difference.to_le().trailing_zeros() as usize / 8;
                (difference != 0).then_some(at * WORD + byte)
            });
        }
        let mut pairs = self.single().iter().zip(other.single());
        // Relaxed: as above.
        pairs.position(|(one, other)| one.load(Ordering::Relaxed) != other.load(Ordering::Relaxed))
    }

    /// True if all of them are zero.
    pub(crate) fn are_zero(self) -> bool {
        // Relaxed: as above.
        self.single().iter().all(|byte| byte.load(Ordering::Relaxed) == 0)
    }

    /// Stores the same bytes as in another page.
    pub(crate) fn copy_from(self, page: Self) {
        for (to, from) in self.words().iter().zip(page.words()) {
            // Relaxed, both: as above.
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Stores the bytes of a descriptor, over and over again.
    pub(crate) fn repeat(self, descriptor: Self) {
        for (to, from) in self.single().iter().zip(descriptor.single().iter().cycle()) {
            // Relaxed, both: as above.
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address is its own.
    struct Same;

    // SAFETY: identity.
    unsafe impl PhysMap for Same {
        fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
            let at = usize::try_from(at.get()).unwrap();
            NonNull::new(core::ptr::with_exposed_provenance_mut(at)).unwrap()
        }

        fn virt_to_phys(&self, _: NonNull<u8>) -> Option<PhysAddr> {
            None
        }
    }

    #[repr(align(64))]
    struct Memory([AtomicU8; 64]);

    fn memory() -> Memory {
        Memory([const { AtomicU8::new(0) }; 64])
    }

    fn bytes(memory: &Memory, count: usize) -> Bytes<'_> {
        let at = PhysAddr::new(memory.0.as_ptr().expose_provenance() as u64);
        // SAFETY: an aligned array of atomics, of so many bytes at least, that only its own test has.
        unsafe { Bytes::at(&Same, at, count) }
    }

    #[test]
    fn the_first_byte_that_differs_is_found_in_any_size() {
        for count in [1, 2, 4, 8, 16, 64] {
            for differing in 0..count {
                let (one, other) = (memory(), memory());
                assert_eq!(bytes(&one, count).first_difference(bytes(&other, count)), None);
                other.0[differing..].iter().for_each(|byte| byte.store(0x80, Ordering::Relaxed));
                assert_eq!(bytes(&one, count).first_difference(bytes(&other, count)), Some(differing));
                assert!(bytes(&one, count).are_zero() && !bytes(&other, count).are_zero());
            }
        }
    }

    #[test]
    fn a_page_is_filled_and_copied() {
        let (descriptor, one, other) = (memory(), memory(), memory());
        (1..5).zip(&descriptor.0).for_each(|(value, byte)| byte.store(value, Ordering::Relaxed));
        bytes(&one, 64).repeat(bytes(&descriptor, 4));
        assert!((0..64).all(|at| one.0[at].load(Ordering::Relaxed) as usize == at % 4 + 1));
        bytes(&other, 64).copy_from(bytes(&one, 64));
        assert_eq!(bytes(&other, 64).first_difference(bytes(&one, 64)), None);
    }
}
