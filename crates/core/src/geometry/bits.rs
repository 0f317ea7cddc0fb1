//! Fixed arrays of atomic words, as geometries name them.

use crate::primitive::AtomicU64;

/// `[AtomicU64; N]`: the storage of a bitmap whose size a [`Geometry`](crate::Geometry) fixes.
///
/// Sealed: lookups believe what they read from it, so nobody else may decide what that is.
pub trait BitWords: sealed::Sealed + Send + Sync + 'static {
    /// Number of 64-bit words.
    const LEN: usize;

    /// An array of zero words.
    fn zeroed() -> Self;

    /// The words, lowest bits first.
    fn words(&self) -> &[AtomicU64];
}

mod sealed {
    /// Keeps [`BitWords`](super::BitWords) to arrays.
    pub trait Sealed {}

    impl<const N: usize> Sealed for [crate::primitive::AtomicU64; N] {}
}

impl<const N: usize> BitWords for [AtomicU64; N] {
    const LEN: usize = N;

    fn zeroed() -> Self {
        core::array::from_fn(|_| AtomicU64::new(0))
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        self
    }
}
