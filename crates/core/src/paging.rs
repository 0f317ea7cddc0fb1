//! The parts of the kernel's address space that a virtual memmap uses.
//!
//! # Invariants
//!
//! 1. The page tables are real and live: an entry that a model writes is used by the processor.

use crate::primitive::{AtomicBool, Ordering};
use crate::{PhysAddr, PhysMap, VirtAddr, VirtRange, WriterSlot, const_fn};
use core::fmt;

/// The number of levels of the kernel's page tables.
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

/// The environment has other page tables than those that the model was first populated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model uses the page tables below {own}, but the environment has those below {given}; use the first environment"
)]
pub struct OtherAddressSpace {
    /// The top-level table of the environment that the model was first populated with.
    pub own: PhysAddr,
    /// The top-level table of the environment that was given now.
    pub given: PhysAddr,
}

/// The kernel's address space, as a virtual memmap sees it.
///
/// A model remembers [`AddressSpace::root`] of the first environment that it is populated with, and refuses another
/// ([`OtherAddressSpace`]).
///
/// # Safety
///
/// 1. [`AddressSpace::root`] is the physical address of a live top-level page table of [`AddressSpace::depth`] levels,
///    in the format of the processor, which uses the entries that are written there. The table, and every table that it
///    leads to, is reached through this environment's [`PhysMap`]. Every call gives the same root and depth.
/// 2. No other code changes entries of the memmap's range. When a model is booted, the range contains only an empty,
///    well-formed tree, whose tables may be given back as [`Origin::Boot`](crate::Origin::Boot); the bits that the
///    format keeps notes in are clear in its entries (x86_64: 9, 10 and 58).
/// 3. When [`AddressSpace::flush`] returns, no processor holds a translation of the range any more, nor a cached
///    upper-level entry on the path to one.
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

    /// The model reports here that it made a mapping. Hardware needs no hint; a simulated MMU repeats the mapping here.
    ///
    /// # Errors
    ///
    /// [`LinkRefused`] if the mapping cannot be made; the model then clears its entry again.
    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        let _ = (at, to, size);
        Ok(())
    }

    /// The model reports here that it changed the entry for `at` of the root table, before anything depends on it. Does
    /// nothing by default; a kernel whose address spaces have root tables of their own updates their copies of the
    /// entry here (Linux: `sync_global_pgds`).
    fn root_changed(&mut self, at: VirtAddr) {
        let _ = at;
    }

    /// Makes every processor drop its cached translations of `range`.
    fn flush(&mut self, range: VirtRange);
}

/// The claim of a model on a place. The first model that takes it excludes others; only that model can give it back.
///
/// ```
/// use sparsemem_core::PlaceClaim;
///
/// static CLAIM: PlaceClaim = PlaceClaim::new();
/// assert!(CLAIM.take());
/// assert!(!CLAIM.take(), "it is taken");
/// ```
///
/// Safe code cannot free a place while a model uses it:
///
/// ```compile_fail
/// use sparsemem_core::PlaceClaim;
///
/// static CLAIM: PlaceClaim = PlaceClaim::new();
/// CLAIM.give_back();
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct PlaceClaim {
    taken: AtomicBool,
}

impl PlaceClaim {
    const_fn! {
        /// A claim that is not taken; all zero bytes.
        #[must_use]
        pub const fn new() -> Self {
            Self { taken: AtomicBool::new(false) }
        }
    }

    /// Takes the claim, and returns whether it was free. Taking it without a model only keeps models out.
    #[must_use = "the claim is the caller's only if this is true"]
    pub fn take(&self) -> bool {
        // Acquire: pairs with the Release in `give_back`, so that the next model sees the place as the last one left it.
        !self.taken.swap(true, Ordering::Acquire)
    }

    /// Gives the claim back.
    ///
    /// # Safety
    ///
    /// The caller has taken it, and has nothing in the place any more.
    pub unsafe fn give_back(&self) {
        // Release: pairs with the Acquire in `take`.
        self.taken.store(false, Ordering::Release);
    }
}

impl Default for PlaceClaim {
    fn default() -> Self {
        Self::new()
    }
}

/// A place for the virtual memmap that is known when the kernel is built.
///
/// `START` is the address of frame 0's descriptor. Linux on x86_64 sets 1 TiB aside at `0xffff_ea00_0000_0000`.
///
/// # Safety
///
/// 1. The `BYTES` bytes from `START` are virtual addresses of the kernel that nothing but the model which claims this
///    place maps or uses.
/// 2. Nothing but the place lies in the blocks of 512 GiB, aligned to their size, that it touches: the tables for
///    them are the model's, which makes and frees them without asking other code. Only places that name the same
///    [`ArrayPlace::shared_writer`] may lie in one block, or, with five levels, below one entry of the top-level table.
///    (The first populate looks for foreign mappings in the blocks, and refuses the place if it finds one.)
/// 3. Everything else that the kernel maps below the same entry of the top-level table was mapped before the model was
///    first populated, and some of it stays while the model lives: the model gives a table back when it is empty.
/// 4. Every call of [`ArrayPlace::claim`] returns the same claim, and every call of [`ArrayPlace::shared_writer`] the
///    same slot; none unwinds.
pub unsafe trait ArrayPlace: Send + Sync + 'static {
    /// Virtual address of the descriptor of frame 0; a multiple of 2 MiB.
    const START: u64;
    /// Bytes set aside; a multiple of 2 MiB.
    const BYTES: u64;

    /// The claim by which the first model that uses the place excludes others: a `static`.
    fn claim() -> &'static PlaceClaim;

    /// The writer slot of the models that may use this place: a model with another slot is refused
    /// ([`SectionLoss::OtherWriter`](crate::SectionLoss::OtherWriter)). `None`, the default, is for models with a slot
    /// of their own.
    #[must_use]
    fn shared_writer() -> Option<&'static WriterSlot> {
        None
    }
}

/// No place at all, for kernels whose model is not a virtual memmap. A vmemmap with this place loses every section.
#[derive(Clone, Copy, Debug)]
pub struct NoArray;

#[cfg(not(sparsemem_loom))]
// SAFETY: no addresses are set aside, and the claim is a static of this function alone.
unsafe impl ArrayPlace for NoArray {
    const START: u64 = 1 << 21;
    const BYTES: u64 = 0;

    fn claim() -> &'static PlaceClaim {
        // Taken from the start, so no model can take it, and no code ever changes it.
        static CLAIMED: PlaceClaim = PlaceClaim { taken: AtomicBool::new(true) };
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
