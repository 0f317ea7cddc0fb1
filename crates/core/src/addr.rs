//! Physical and virtual byte addresses.
//!
//! # Invariants
//!
//! 1. An address is only a number here: holding one grants no access to what lies there.

use crate::newtype::{arithmetic, number};
use crate::{Geometry, Pfn};

number! {
    /// A physical byte address.
    PhysAddr(u64), "{:#x}"
}

number! {
    /// A virtual byte address; whether it is canonical depends on the depth of the page tables in use.
    VirtAddr(u64), "{:#x}"
}

number! {
    /// A length in bytes.
    ByteLen(u64), "{:#x} bytes"
}

arithmetic!(PhysAddr, ByteLen, "bytes");
arithmetic!(VirtAddr, ByteLen, "bytes");

impl PhysAddr {
    /// The frame that contains this address.
    #[inline]
    #[must_use]
    pub const fn pfn<G: Geometry>(self) -> Pfn {
        Pfn::new(self.get() >> G::PAGE_SHIFT)
    }

    /// Whether the address is a multiple of `align` bytes; `align` has to be a power of two, otherwise the answer is
    /// `false`.
    #[inline]
    #[must_use]
    pub const fn is_aligned(self, align: u64) -> bool {
        align.is_power_of_two() && self.get() & (align - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_reports_what_does_not_fit() {
        let (top, len) = (VirtAddr::new(u64::MAX), ByteLen::new);
        assert_eq!(top.checked_add(len(1)), None);
        assert_eq!(top.saturating_add(len(1)), top);
        assert_eq!(top.checked_sub(len(u64::MAX)), Some(VirtAddr::new(0)));
        assert_eq!(VirtAddr::new(1).checked_sub(len(2)), None);
        assert_eq!(VirtAddr::new(1).offset_from(VirtAddr::new(2)), None);
        assert_eq!(VirtAddr::new(0x3000).offset_from(VirtAddr::new(0x1000)), Some(len(0x2000)));
    }

    #[test]
    fn alignment_to_no_power_of_two_is_never_given() {
        let at = PhysAddr::new(0x6000);
        assert!(at.is_aligned(0x2000) && at.is_aligned(1));
        assert!(!at.is_aligned(0x4000) && !at.is_aligned(3) && !at.is_aligned(0));
    }
}
