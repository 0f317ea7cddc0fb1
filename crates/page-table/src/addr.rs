//! Virtual addresses: plain 64-bit numbers with named arithmetic.
//!
//! # Invariants
//!
//! 1. An address is only a number here: holding one grants no access to what lies there. Whether it is canonical is a
//!    question to a [`Depth`](crate::Depth), because the answer differs between four and five levels.

use core::fmt;

/// A virtual byte address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// Wraps a raw address.
    #[inline]
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the raw address.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Adds `len_bytes`, or returns `None` if the sum does not fit in 64 bits.
    #[inline]
    #[must_use]
    pub const fn checked_add(self, len_bytes: u64) -> Option<Self> {
        match self.0.checked_add(len_bytes) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Subtracts `len_bytes`, or returns `None` below zero.
    #[inline]
    #[must_use]
    pub const fn checked_sub(self, len_bytes: u64) -> Option<Self> {
        match self.0.checked_sub(len_bytes) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Distance in bytes from `earlier`, or `None` if `earlier` is later.
    #[inline]
    #[must_use]
    pub const fn offset_from(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// Whether the address is a multiple of `align_bytes`; `false` for anything that is not a power of two.
    #[inline]
    #[must_use]
    pub const fn is_aligned(self, align_bytes: u64) -> bool {
        align_bytes.is_power_of_two() && self.0 & (align_bytes - 1) == 0
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtAddr({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_reports_what_does_not_fit() {
        let top = VirtAddr::new(u64::MAX);
        assert_eq!(top.checked_add(1), None);
        assert_eq!(top.checked_sub(u64::MAX), Some(VirtAddr::new(0)));
        assert_eq!(VirtAddr::new(1).checked_sub(2), None);
        assert_eq!(VirtAddr::new(1).offset_from(VirtAddr::new(2)), None);
        assert_eq!(VirtAddr::new(0x3000).offset_from(VirtAddr::new(0x1000)), Some(0x2000));
    }

    #[test]
    fn alignment_to_no_power_of_two_is_never_given() {
        let at = VirtAddr::new(0x6000);
        assert!(at.is_aligned(0x2000) && at.is_aligned(1));
        assert!(!at.is_aligned(0x4000) && !at.is_aligned(3) && !at.is_aligned(0));
    }
}
