//! What a virtual memmap needs to know of the kernel's address space.
//!
//! # Invariants
//!
//! 1. The page tables are real and live: an entry that a model writes is used by the processor.

use core::fmt;
use core::sync::atomic::AtomicBool;

use crate::{PhysAddr, PhysMap, VirtAddr, VirtRange};

/// How many levels the kernel's page tables have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PagingDepth {
    /// 48-bit virtual addresses.
    Four,
    /// 57-bit virtual addresses.
    Five,
}

/// Size of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeafSize {
    /// A base page.
    Size4KiB,
    /// A mapping by one entry of the second level.
    Size2MiB,
    /// A mapping by one entry of the third level; not every processor has it.
    Size1GiB,
}

impl LeafSize {
    /// The size in bytes; a power of two.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Size4KiB => 1 << 12,
            Self::Size2MiB => 1 << 21,
            Self::Size1GiB => 1 << 30,
        }
    }
}

impl fmt::Display for LeafSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size4KiB => "4 KiB",
            Self::Size2MiB => "2 MiB",
            Self::Size1GiB => "1 GiB",
        })
    }
}

/// The address space could not take a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address space refused the mapping at {at}")]
pub struct LinkRefused {
    /// First virtual address of the mapping.
    pub at: VirtAddr,
}

/// The kernel's address space, as a virtual memmap sees it.
///
/// # Safety
///
/// 1. [`AddressSpace::root`] is the physical address of a live top-level x86_64 page table of [`AddressSpace::depth`]
///    levels, reachable through [`PhysMap`], and the processor uses what is written there. Every environment that is
///    given to one model has the same root.
/// 2. Nobody else changes entries of the memmap's range. What is found there when a model is booted is an empty,
///    well-formed tree, whose tables may be given back as [`Origin::Boot`](crate::Origin::Boot); bits 9, 10 and 58 of
///    its entries are clear.
/// 3. When [`AddressSpace::flush`] returns, no processor holds a translation of the range any more, nor a cached
///    upper-level entry on the way to one.
/// 4. Other address spaces of the kernel see the memmap's range as this one does, if need be through
///    [`AddressSpace::root_changed`].
/// 5. No method unwinds.
pub unsafe trait AddressSpace: PhysMap {
    /// Physical address of the top-level table.
    fn root(&self) -> PhysAddr;

    /// Levels of the tables.
    fn depth(&self) -> PagingDepth;

    /// The largest mapping that the processor has and the kernel wants; 2 MiB is what Linux uses.
    fn largest_leaf(&self) -> LeafSize {
        LeafSize::Size2MiB
    }

    /// Learns that a mapping was entered. Hardware needs no hint; a simulated MMU repeats the mapping here.
    ///
    /// # Errors
    ///
    /// [`LinkRefused`] if the mapping cannot be had; the model then takes its entry back.
    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        let _ = (at, to, size);
        Ok(())
    }

    /// Learns that the entry for `at` of the root table was changed, before anything depends on it. Does nothing by
    /// default; a kernel whose address spaces have root tables of their own updates their copies of the entry here
    /// (Linux: `sync_global_pgds`).
    fn root_changed(&mut self, at: VirtAddr) {
        let _ = at;
    }

    /// Makes every processor forget its translations of `range`.
    fn flush(&mut self, range: VirtRange);
}

/// A place for the virtual memmap that is known when the kernel is built.
///
/// `START` is the address of frame 0's descriptor. Linux on x86_64 sets 1 TiB aside at `0xffff_ea00_0000_0000`.
///
/// # Safety
///
/// The `BYTES` bytes from `START` are virtual addresses of the kernel that nothing but the model which claims this
/// place maps or uses, and every call of [`ArrayPlace::claim`] returns the same flag, which nothing else uses.
pub unsafe trait ArrayPlace: Send + Sync + 'static {
    /// Virtual address of the descriptor of frame 0; a multiple of 2 MiB.
    const START: u64;
    /// Bytes set aside; a multiple of 2 MiB.
    const BYTES: u64;

    /// The flag by which the first model that uses the place keeps others out: a `static` that begins as `false`.
    fn claim() -> &'static AtomicBool;
}

/// No place at all, for kernels whose model is not a virtual memmap. A vmemmap here loses every section.
#[derive(Clone, Copy, Debug)]
pub struct NoArray;

// SAFETY: no addresses are set aside, and the flag is a static of this function alone.
unsafe impl ArrayPlace for NoArray {
    const START: u64 = 1 << 21;
    const BYTES: u64 = 0;

    fn claim() -> &'static AtomicBool {
        // Taken from the start: nobody can have it.
        static CLAIMED: AtomicBool = AtomicBool::new(true);
        &CLAIMED
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn sizes_are_ordered_and_named() {
        let sizes = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB];
        assert!(sizes.is_sorted() && sizes.is_sorted_by_key(|size| size.bytes()));
        assert_eq!(sizes.map(|size| size.to_string()), ["4 KiB", "2 MiB", "1 GiB"]);
    }
}
