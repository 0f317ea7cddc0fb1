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
