//! Half-open ranges of virtual addresses, up to and including the very last byte of the address space.
//!
//! A range is kept as start and length, not as start and end, because the end of a range at the top of the address
//! space is 2^64 and has no 64-bit representation. [`VirtRange::end`] is therefore an `Option`.
//!
//! # Invariants
//!
//! 1. `start + len_bytes <= 2^64`, always: the constructors refuse anything else.

use core::fmt;

use crate::VirtAddr;

/// A range whose end lies before its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("range ends at {end}, before its start {start}")]
pub struct ReversedRange {
    /// The start that was given.
    pub start: VirtAddr,
    /// The end that was given.
    pub end: VirtAddr,
}

/// A half-open range of virtual bytes: `start` belongs to it, the end does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VirtRange {
    start: VirtAddr,
    len_bytes: u64,
}

impl VirtRange {
    /// The range from `start` up to, not including, `end`.
    ///
    /// A range that reaches the top of the address space comes from [`up_to_top`](Self::up_to_top).
    ///
    /// # Errors
    ///
    /// [`ReversedRange`] if `end` lies before `start`.
    pub const fn new(start: VirtAddr, end: VirtAddr) -> Result<Self, ReversedRange> {
        match end.offset_from(start) {
            Some(len_bytes) => Ok(Self { start, len_bytes }),
            None => Err(ReversedRange { start, end }),
        }
    }

    /// The range of `len_bytes` bytes from `start`, or `None` if it would end beyond 2^64.
    #[inline]
    #[must_use]
    pub const fn from_start_len(start: VirtAddr, len_bytes: u64) -> Option<Self> {
        // The last byte is what has to fit; the end itself may be 2^64.
        if len_bytes > 0 && start.checked_add(len_bytes - 1).is_none() {
            return None;
        }
        Some(Self { start, len_bytes })
    }

    /// The range from `start` to the end of the address space, or `None` for `start` 0, whose 2^64 bytes no
    /// processor can translate anyway.
    #[inline]
    #[must_use]
    pub const fn up_to_top(start: VirtAddr) -> Option<Self> {
        match start.get() {
            0 => None,
            raw => Some(Self { start, len_bytes: raw.wrapping_neg() }),
        }
    }

    /// The empty range at `at`.
    #[inline]
    #[must_use]
    pub const fn empty_at(at: VirtAddr) -> Self {
        Self { start: at, len_bytes: 0 }
    }

    /// The first byte, if the range is not empty.
    #[inline]
    #[must_use]
    pub const fn start(self) -> VirtAddr {
        self.start
    }

    /// The first byte behind the range, or `None` if the range reaches the top of the address space.
    #[inline]
    #[must_use]
    pub const fn end(self) -> Option<VirtAddr> {
        self.start.checked_add(self.len_bytes)
    }

    /// The last byte in the range, or `None` if it has none.
    #[inline]
    #[must_use]
    pub const fn last(self) -> Option<VirtAddr> {
        match self.len_bytes {
            0 => None,
            len_bytes => self.start.checked_add(len_bytes - 1),
        }
    }

    /// How many bytes the range has.
    #[inline]
    #[must_use]
    pub const fn len_bytes(self) -> u64 {
        self.len_bytes
    }

    /// Whether the range has no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len_bytes == 0
    }

    /// Whether the byte at `at` lies in the range.
    #[inline]
    #[must_use]
    pub const fn contains(self, at: VirtAddr) -> bool {
        match at.offset_from(self.start) {
            Some(offset) => offset < self.len_bytes,
            None => false,
        }
    }

    /// Whether every byte of `other` lies in this range; an empty `other` lies in any range.
    #[must_use]
    pub const fn contains_range(self, other: Self) -> bool {
        match other.last() {
            None => true,
            Some(last) => self.contains(other.start) && self.contains(last),
        }
    }

    /// Whether the ranges share a byte.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// The bytes in both ranges; empty, at the later start, if there are none.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        let start = if self.start.get() > other.start.get() { self.start } else { other.start };
        let (Some(mine), Some(theirs)) = (self.last(), other.last()) else { return Self::empty_at(start) };
        let last = if mine.get() < theirs.get() { mine } else { theirs };
        match last.offset_from(start) {
            // Cannot wrap: both ranges would have to be the whole 2^64 bytes, which no constructor makes.
            Some(behind_start) => Self { start, len_bytes: behind_start.wrapping_add(1) },
            None => Self::empty_at(start),
        }
    }
}

impl fmt::Display for VirtRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end() {
            Some(end) => write!(f, "[{}, {end})", self.start),
            None => write!(f, "[{}, 2^64)", self.start),
        }
    }
}

impl fmt::Debug for VirtRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    fn range(start: u64, end: u64) -> VirtRange {
        VirtRange::new(VirtAddr::new(start), VirtAddr::new(end)).unwrap()
    }

    #[test]
    fn reversed_ends_are_named() {
        let (start, end) = (VirtAddr::new(0x2000), VirtAddr::new(0x1000));
        assert_eq!(VirtRange::new(start, end), Err(ReversedRange { start, end }));
    }

    #[test]
    fn the_top_of_the_address_space_has_no_end() {
        let top = VirtRange::up_to_top(VirtAddr::new(0xffff_ffff_ffff_f000)).unwrap();
        assert_eq!((top.len_bytes(), top.end(), top.last()), (0x1000, None, Some(VirtAddr::new(u64::MAX))));
        assert_eq!(VirtRange::from_start_len(top.start(), 0x1000), Some(top));
        assert_eq!(VirtRange::from_start_len(top.start(), 0x1001), None);
        assert_eq!(VirtRange::up_to_top(VirtAddr::new(0)), None);
        assert!(top.contains(VirtAddr::new(u64::MAX)));
        assert_eq!(format!("{top}"), "[0xfffffffffffff000, 2^64)");
    }

    #[test]
    fn intersection_reaches_the_top() {
        let top = VirtRange::up_to_top(VirtAddr::new(1)).unwrap();
        let upper = VirtRange::up_to_top(VirtAddr::new(0xffff_8000_0000_0000)).unwrap();
        assert_eq!(top.intersection(upper), upper);
        assert_eq!(upper.intersection(range(0, 0x1000)).len_bytes(), 0);
        assert!(top.contains_range(upper) && !upper.contains_range(top));
    }

    #[test]
    fn neighbours_share_nothing() {
        assert!(!range(0x1000, 0x2000).overlaps(range(0x2000, 0x3000)));
        assert!(range(0x1000, 0x2001).overlaps(range(0x2000, 0x3000)));
        assert!(range(0x1000, 0x2000).contains_range(VirtRange::empty_at(VirtAddr::new(7))));
    }
}
