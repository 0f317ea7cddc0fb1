//! The entry format of arm64 page tables: granules of 4, 16 and 64 KiB, addresses of 48 and of 52 bits.
//!
//! [`Aarch64`] defines the bits of an entry (stage 1, EL1&0);
//! [`PageTable`](sparsemem_page_table::PageTable) populates, walks and unmaps tables of any format. Sections named in
//! this crate are those of the *Arm Architecture Reference Manual*, DDI 0487 issue K.a.
//!
//! # Levels (D8.2)
//!
//! The manual counts levels towards the leaves, [`Level`](sparsemem_page_table::Level) from them: its level 3 is `PTE`,
//! its level 0 `P4D`, its level -1 `PGD`. The root has fewer entries than other tables where the granule's levels could
//! translate more than the size of addresses.
//!
//! | granule | entries | leaves | 2 levels | 3 levels | 4 levels | 5 levels |
//! |---|---|---|---|---|---|---|
//! | 4 KiB | 512 | 4 KiB, 2 MiB, 1 GiB; 512 GiB with 52 bits | 30 bits | 39 | 48 | 52 (LPA2 only) |
//! | 16 KiB | 2048 | 16 KiB, 32 MiB; 64 GiB with 52 bits | 36 bits | 47 | 48; 52 (LPA2) | - |
//! | 64 KiB | 8192 | 64 KiB, 512 MiB; 4 TiB with 52 bits | 42 bits | 48; 52 (LVA and LPA) | - | - |
//!
//! The contiguous hint (D8.7.1) is not used: all entries of a group would have to change together, and the walker
//! changes one at a time.
//!
//! # What a kernel does when mappings change (D8.16, D8.17)
//!
//! - **Published**: an entry that was invalid is never cached, but the stores that make it valid have to be complete
//!   before the walk: `dsb ishst`, then `isb`, so that this processor does not use what it fetched before.
//!   [`EntryFormat::published`](sparsemem_page_table::EntryFormat::published) does both. Others need nothing: a `dsb` is
//!   complete when all walkers of the inner shareable domain see the stores. So
//!   [`AddressSpace::published`](sparsemem_core::AddressSpace::published) may do nothing.
//! - **Forgotten**: `dsb ishst`, a `tlbi` for all ASIDs, `dsb ish`, `isb`. On this target, `Aarch64::forget` is an
//!   [`AddressSpace::flush`](sparsemem_core::AddressSpace::flush); it reaches every processor of the domain.
//! - **Break before make** (D8.16.1): a valid entry must not become another valid entry, unless only bits change that
//!   are for software. The walker changes nothing else: it fills empty entries, and empties are filled again after a flush.
//!
//! ```
//! use sparsemem_aarch64_page_table::{Aarch64, Granule16K};
//! use sparsemem_core::{Origin, PagingDepth, PhysAddr};
//! use sparsemem_page_table::{EntryFormat, Level, Target};
//!
//! type Format = Aarch64<Granule16K>;
//!
//! let block = Format::leaf(PhysAddr::new(0x4000_0000), Level::PMD, Origin::Boot) & !Format::FRESH;
//! assert_eq!(block, 0x0060_0000_4000_0f01, "UXN, PXN, nG, AF, inner shareable, a valid block");
//! assert_eq!(Format::leaf_size(Level::PMD).unwrap().to_string(), "32 MiB");
//! // Four levels, of which the root has two entries.
//! assert_eq!(Format::root(PagingDepth::Four).bits() - Format::shift(Level::P4D), 1);
//! ```
#![no_std]
#![allow(unsafe_code, reason = "promises that the processor reads its entries as it writes them")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod format;

pub use format::Aarch64;

use core::marker::PhantomData;
use sparsemem_core::Geometry;

/// The end of the address space that a root table translates (D8.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first addresses, by `TTBR0_EL1`.
    Low,
    /// The last addresses, by `TTBR1_EL1`: those of kernels.
    High,
}

/// The choices of a kernel in `TCR_EL1` and `MAIR_EL1`, as far as entries depend on them.
///
/// The constants have to be those of the registers: whoever makes a [`PageTable`](sparsemem_page_table::PageTable) of
/// the format, or an environment for a model with it, promises that.
pub trait Regime: Copy + 'static {
    /// The size of pages and tables is 2 to this power: 12, 14 or 16 (`TCR_EL1.TG1`, `TG0`).
    const PAGE_SHIFT: u32;

    /// The size of addresses: 48, or 52 where the processor has it and the kernel has enabled it.
    ///
    /// With 52, virtual addresses have `64 - TCR_EL1.T1SZ` of 52 where the depth reaches that far; entries hold
    /// physical addresses of 52 bits. For pages of 64 KiB that needs `FEAT_LVA` and `FEAT_LPA`; for smaller ones
    /// `FEAT_LPA2` and `TCR_EL1.DS`, which moves the shareability of leaves from entries to `TCR_EL1.SH1`.
    const ADDRESS_BITS: u32 = 48;

    /// The end of the address space that the root translates.
    const END: End = End::High;

    /// The attribute of `MAIR_EL1` that is normal memory, write-back, inner and outer (`AttrIndx`, D8.6).
    const NORMAL: u64 = 0;
}

/// Pages of 4 KiB, addresses of 48 bits, attribute 0 is normal memory; as Linux has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granule4K;

/// The same with pages of 16 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granule16K;

/// The same with pages of 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granule64K;

/// The same with the pages of a geometry, which have one of these three sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesOf<G>(PhantomData<fn() -> G>);

impl Regime for Granule4K {
    const PAGE_SHIFT: u32 = 12;
}

impl Regime for Granule16K {
    const PAGE_SHIFT: u32 = 14;
}

impl Regime for Granule64K {
    const PAGE_SHIFT: u32 = 16;
}

impl<G: Geometry> Regime for PagesOf<G> {
    const PAGE_SHIFT: u32 = G::PAGE_SHIFT;
}

/// The instructions by which a processor learns of changed tables (D8.17). They are for EL1, or for EL2 with `E2H`.
#[cfg(target_arch = "aarch64")]
mod maintenance {
    use core::arch::asm;

    use sparsemem_core::VirtRange;
    use sparsemem_page_table::EntryFormat;

    use crate::{Aarch64, Regime};

    /// A flush of more pages forgets everything, which is faster.
    const MOST: u64 = 512;

    /// Completes the stores to tables, for the walkers of all processors, before this processor's next access.
    pub(crate) fn publish() {
        // SAFETY: barriers change nothing.
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    }

    impl<R: Regime> Aarch64<R> {
        /// Makes every processor of the inner shareable domain drop its cached translations of `range`, and the cached
        /// entries of tables on the path to it, for all ASIDs.
        ///
        /// # Cost
        ///
        /// An instruction for each page of `range`, up to 512, and a wait for all processors.
        pub fn forget(range: VirtRange) {
            let page = 1 << Self::BASE_SHIFT;
            let first = range.start().get() & !(page - 1);
            // SAFETY: barriers change nothing. This one completes the stores that emptied the entries.
            unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
            if (range.end().get() - first).div_ceil(page) > MOST {
                // SAFETY: what the processor forgets it reads again.
                unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
            } else {
                (first..range.end().get()).step_by(1 << R::PAGE_SHIFT).for_each(forget_page);
            }
            // SAFETY: barriers change nothing. These wait until all have forgotten.
            unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
        }
    }

    /// Invalidates what leads to one page, at every level. The instruction takes bits 55:12 of the address (C5.5).
    fn forget_page(at: u64) {
        let operand = at >> 12 & ((1 << 44) - 1);
        // SAFETY: what the processor forgets it reads again.
        unsafe { asm!("tlbi vaae1is, {}", in(reg) operand, options(nostack, preserves_flags)) };
    }
}
