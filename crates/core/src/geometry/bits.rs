//! Fixed arrays of atomic words, as geometries name them.

use crate::primitive::AtomicU64;

/// `[AtomicU64; N]`: the storage of a bitmap whose size a [`Geometry`](crate::Geometry) fixes.
pub trait BitWords: Send + Sync + 'static {
    /// Number of 64-bit words.
    const LEN: usize;

    /// An array of zero words.
    fn zeroed() -> Self;

    /// The words, lowest bits first.
    fn words(&self) -> &[AtomicU64];
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
