//! What a virtual memmap needs to know of the kernel's address space.
//!
//! # Invariants
//!
//! 1. The page tables are real and live: an entry that a model writes is used by the processor.

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
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Size4KiB => 1 << 12,
            Self::Size2MiB => 1 << 21,
            Self::Size1GiB => 1 << 30,
        }
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
/// [`AddressSpace::root`] is the physical address of a live top-level x86_64 page table of [`AddressSpace::depth`]
/// levels, reachable through [`PhysMap`]; nobody else changes entries of the memmap's range. When
/// [`AddressSpace::flush`] returns, no processor holds a translation of the range any more.
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

    /// Makes every processor forget its translations of `range`.
    fn flush(&mut self, range: VirtRange);
}

/// A place for the virtual memmap that is known when the kernel is built.
///
/// `START` is the address of frame 0's descriptor. Linux on x86_64 sets 1 TiB aside at `0xffff_ea00_0000_0000`.
///
/// # Safety
///
/// The `BYTES` bytes from `START` are virtual addresses of the kernel that nothing but the model which names this
/// place maps or uses.
pub unsafe trait ArrayPlace: Send + Sync + 'static {
    /// Virtual address of the descriptor of frame 0; a multiple of 2 MiB.
    const START: u64;
    /// Bytes set aside.
    const BYTES: u64;
}
