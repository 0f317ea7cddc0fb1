//! The parts of the kernel's address space that a virtual memmap uses.
//!
//! # Invariants
//!
//! 1. The page tables are real and live: an entry that a model writes is used by the processor.

use crate::{PhysAddr, PhysMap, VirtAddr, VirtRange};
use core::alloc::Layout;
use core::fmt;

/// The number of levels of the kernel's page tables. The entry format says how many bits of an address they translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PagingDepth {
    /// Two levels: 42 bits of an address on arm64 with 64 KiB pages.
    Two,
    /// Three levels: 39 bits on riscv64 and on arm64 with 4 KiB pages.
    Three,
    /// Four levels: 48 bits on x86_64, riscv64, and arm64 with 4 KiB pages.
    Four,
    /// Five levels: 57 bits on x86_64 and riscv64.
    Five,
}

/// Size of a mapping: a power of two, at most what the target can address.
///
/// The constants are the sizes of x86_64; an entry format has others where its processor has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct LeafSize {
    /// The size is 2 to this power, which is at most [`LeafSize::MAX_SHIFT`].
    shift: u32,
}

#[allow(non_upper_case_globals, reason = "the capitals of a unit carry meaning")]
impl LeafSize {
    /// The smallest page of most processors.
    pub const Size4KiB: Self = Self { shift: 12 };
    /// A mapping by one entry of the second level, where pages have 4 KiB.
    pub const Size2MiB: Self = Self { shift: 21 };
    /// A mapping by one entry of the third level, where pages have 4 KiB; not every processor has it.
    pub const Size1GiB: Self = Self { shift: 30 };
}

impl LeafSize {
    /// The largest size is 2 to this power: a [`Layout`] has no larger one.
    const MAX_SHIFT: u32 = usize::BITS - 2;

    /// The size of 2^`shift` bytes, if the target can address it.
    ///
    /// ```
    /// use sparsemem_core::LeafSize;
    ///
    /// assert_eq!(LeafSize::from_shift(21), Some(LeafSize::Size2MiB));
    /// assert_eq!(LeafSize::from_shift(64), None);
    /// ```
    #[inline]
    #[must_use]
    pub const fn from_shift(shift: u32) -> Option<Self> {
        if shift <= Self::MAX_SHIFT { Some(Self { shift }) } else { None }
    }

    /// The size is 2 to this power bytes.
    #[inline]
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.shift
    }

    /// The size in bytes; a power of two.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The layout of memory of this size, aligned to its size.
    #[inline]
    #[must_use]
    pub const fn layout(self) -> Layout {
        let bytes = 1 << self.shift;
        // SAFETY: 1. A power of two is not zero. 2. It does not exceed `isize::MAX`, because the shift is at most
        // `MAX_SHIFT`.
        unsafe { Layout::from_size_align_unchecked(bytes, bytes) }
    }
}

impl fmt::Display for LeafSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        // A shift is at most 62, so that there is a unit for it.
        let unit = units.get(self.shift as usize / 10).unwrap_or(&"");
        write!(f, "{} {unit}", 1_u64 << (self.shift % 10))
    }
}

impl fmt::Debug for LeafSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeafSize({self})")
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
/// ```
/// use core::ptr::NonNull;
/// use sparsemem_core::{AddressSpace, PagingDepth, PhysAddr, PhysMap, VirtAddr, VirtRange};
///
/// const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
///
/// /// An x86_64 kernel on one processor: what `cr3` holds, and `invlpg`.
/// struct Kernel { root: PhysAddr, forget: fn(VirtAddr) }
///
/// // SAFETY: a sum and its inverse; the kernel maps all memory there.
/// unsafe impl PhysMap for Kernel {
///     fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
///         let start = core::ptr::with_exposed_provenance_mut(DIRECT_MAP.wrapping_add(at.get()) as usize);
///         NonNull::new(start).unwrap_or(NonNull::dangling())
///     }
///
///     fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
///         (at.as_ptr().expose_provenance() as u64).checked_sub(DIRECT_MAP).map(PhysAddr::new)
///     }
/// }
///
/// // SAFETY: the tables are those of the processor, nothing else maps in the memmap's place, and there is one address space.
/// unsafe impl AddressSpace for Kernel {
///     fn root(&self) -> PhysAddr {
///         self.root
///     }
///
///     fn depth(&self) -> PagingDepth {
///         PagingDepth::Four
///     }
///
///     fn flush(&mut self, range: VirtRange) {
///         let pages = (range.start().get()..range.end().get()).step_by(4096);
///         pages.map(VirtAddr::new).for_each(self.forget);
///     }
/// }
///
/// let mut kernel = Kernel { root: PhysAddr::new(0x1000), forget: |page| assert_eq!(page.get() % 4096, 0) };
/// kernel.flush(VirtRange::new(VirtAddr::new(0x20_0000), VirtAddr::new(0x40_0000))?);
/// let at = PhysAddr::new(0x1234);
/// assert_eq!(kernel.virt_to_phys(kernel.phys_to_virt(at)), Some(at));
/// # Ok::<(), sparsemem_core::ReversedRange>(())
/// ```
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
/// 4. When [`AddressSpace::published`] returns, every processor that is given a pointer into the range may follow it.
/// 5. Other address spaces of the kernel see the memmap's range as this one does, if need be through
///    [`AddressSpace::root_changed`].
/// 6. No method unwinds.
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

    /// The same for a mapping of the smallest size that may only be read, to a page that other addresses lead to as well.
    /// By default as [`AddressSpace::linked`].
    ///
    /// # Errors
    ///
    /// As [`AddressSpace::linked`].
    fn linked_shared(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.linked(at, to, size)
    }

    /// The model reports here that it changed the entry for `at` of the root table, before anything depends on it. Does
    /// nothing by default; a kernel whose address spaces have root tables of their own updates their copies of the
    /// entry here (Linux: `sync_global_pgds`).
    fn root_changed(&mut self, at: VirtAddr) {
        let _ = at;
    }

    /// The model reports here, before it uses them, that entries of `range` were empty and now map memory.
    ///
    /// The entry format has made them usable on the calling processor. Does nothing by default, which is right where
    /// processors do not cache empty entries (x86_64, arm64). A riscv64 kernel with several harts makes the others
    /// forget the empty entries here, or repeats an access that faults without reason. The documentation of each
    /// format's crate has the rule of its processor, with the section of the manual.
    fn published(&mut self, range: VirtRange) {
        let _ = range;
    }

    /// Makes every processor drop its cached translations of `range`, and cached entries of tables on the path to it:
    /// the memory that they lead to is given back when this returns.
    ///
    /// The crate of each entry format has a function that does it, as far as one processor can.
    fn flush(&mut self, range: VirtRange);
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
        let others = [0, 9, 16, 25, 29, 42].map(|shift| LeafSize::from_shift(shift).unwrap().to_string());
        assert_eq!(others, ["1 B", "512 B", "64 KiB", "32 MiB", "512 MiB", "4 TiB"]);
    }

    #[test]
    fn memory_of_every_size_has_a_layout() {
        for shift in 0..u64::BITS {
            let Some(size) = LeafSize::from_shift(shift) else {
                assert!(shift > LeafSize::MAX_SHIFT);
                continue;
            };
            let layout = size.layout();
            assert_eq!((size.bytes(), layout.size(), layout.align()), (1 << shift, 1 << shift, 1 << shift));
            assert!(isize::try_from(layout.size()).is_ok());
        }
    }
}
