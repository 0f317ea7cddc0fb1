//! One arm64 descriptor as a tagged word (D8.3.1).
//!
//! | state | bits 1:0 | what else |
//! |---|---|---|
//! | empty | 00 | |
//! | table of the level below, above `PTE` | 11 | address, AF (10) |
//! | page, at `PTE` | 11 | address, attributes |
//! | block, above `PTE` | 01 | address, attributes |
//!
//! Attributes of a leaf: AttrIndx (4:2), AP (7:6) = 00 for the kernel to read and write, SH (9:8) = 11, AF (10), nG (11),
//! PXN (53), UXN (54). The address has its own place up to bit 47; with 52 bits its highest are in 15:12 (pages of 64
//! KiB), or up to bit 49 in their own place and the last two in 9:8.
//!
//! Bits 55 and 56 hold the [`Origin`] and bit 57 is FRESH. They are for software in leaves, and ignored in tables. In a
//! page both bits of the origin say that it is shared; such a page has AP = 10, for the kernel to read only.
//!
//! # Invariants
//!
//! 1. Every entry that is made here has AF set and DBM (51) clear: the processor has no reason to write to it
//!    (D8.5), so the walker's stores lose no update.

use core::marker::PhantomData;

use sparsemem_core::{Origin, PagingDepth, PhysAddr};
use sparsemem_page_table::{EntryFormat, Level, Root, Target};

use crate::{End, Regime};

const VALID: u64 = 1 << 0;
/// The entry is a table, or at `PTE` a page; otherwise it is a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const KIND: u64 = VALID | TABLE_OR_PAGE;
const ATTR_INDEX_SHIFT: u32 = 2;
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// The entry was accessed. Tables have it too, for `FEAT_HAFT`; without that it is ignored there.
const AF: u64 = 1 << 10;
/// The leaf is not global, for the reason that x86_64 has: a kernel may keep itself out of the reach of its users.
const NG: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// AP\[2\]: nobody may write.
const READ_ONLY: u64 = 1 << 7;
const ORIGIN_SHIFT: u32 = 55;
const ORIGIN_MASK: u64 = 0b11 << ORIGIN_SHIFT;
const FRESH: u64 = 1 << 57;

/// The entries of arm64 page tables in a regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aarch64<R>(PhantomData<fn() -> R>);

impl<R: Regime> Aarch64<R> {
    /// Does not compile for a regime that no processor has.
    const CHECK: () = {
        assert!(matches!(R::PAGE_SHIFT, 12 | 14 | 16), "pages have 4, 16 or 64 KiB");
        assert!(matches!(R::ADDRESS_BITS, 48 | 52), "addresses have 48 or 52 bits");
        assert!(R::NORMAL < 8, "MAIR_EL1 has eight attributes");
    };

    /// Bits of an address that choose an entry of a table: an entry has eight bytes.
    const INDEX_BITS: u32 = {
        () = Self::CHECK;
        R::PAGE_SHIFT - 3
    };

    /// True if the last bits of an address are in 9:8 (`TCR_EL1.DS`).
    const IS_LPA2: bool = R::ADDRESS_BITS == 52 && R::PAGE_SHIFT < 16;

    /// The first bit of an address that an entry does not have in its own place, and the place where the entry has it.
    const MOVED: (u32, u32) = match (R::ADDRESS_BITS, Self::IS_LPA2) {
        (48, _) => (48, 0),
        (_, true) => (50, 8),
        (_, false) => (48, 12),
    };

    /// The bits of an address that an entry has in their own place.
    const KEPT: u64 = (1 << Self::MOVED.0) - (1 << R::PAGE_SHIFT);

    /// The bits of an address above those.
    const ABOVE: u64 = (1 << (R::ADDRESS_BITS - Self::MOVED.0)) - 1;

    const LEAF: u64 = {
        let shareable = if Self::IS_LPA2 { 0 } else { INNER_SHAREABLE };
        VALID | R::NORMAL << ATTR_INDEX_SHIFT | shareable | AF | NG | PXN | UXN
    };

    /// The address bits of an entry for `at`, which it holds.
    const fn address_to_bits(at: PhysAddr) -> u64 {
        let (from, to) = Self::MOVED;
        at.get() & Self::KEPT | (at.get() >> from & Self::ABOVE) << to
    }

    /// The address in an entry.
    const fn address_of(raw: u64) -> u64 {
        let (from, to) = Self::MOVED;
        raw & Self::KEPT | (raw >> to & Self::ABOVE) << from
    }

    /// The number of low bits of an address that a root of `level` translates if it is a whole table.
    const fn whole(level: Level) -> u32 {
        // The cast widens.
        R::PAGE_SHIFT + Self::INDEX_BITS * level.number() as u32
    }
}

// SAFETY: 1. Kind, address, attributes and origin have bits of their own, also where the address is moved; leaves and
// tables differ in the kind, and a level's leaf has zeros below its size. Proofs over all inputs are in `conformance/proofs`,
// and tests make and read one of each. 2. The bits are those of the manual (table above), and invariant 1 keeps the processor
// from writing. 3. FRESH is a bit that `target` does not read, and that no processor reads. 4. A table has a page of
// entries of eight bytes; the root has those that are left of the size of addresses. 5. See `published`. 6. An entry in use breaks
// first (D8.16.1), and `FEAT_BBM` allows other sizes only, not other addresses. 7. All of it is arithmetic on the arguments.
unsafe impl<R: Regime> EntryFormat for Aarch64<R> {
    const BASE_SHIFT: u32 = R::PAGE_SHIFT;
    const FRESH: u64 = FRESH;
    const NARROW_ROOT: bool = true;

    #[inline]
    fn root(depth: PagingDepth) -> Root {
        let level = Level::of_root(depth);
        let bits = Self::whole(level).min(R::ADDRESS_BITS);
        if bits <= Self::shift(level) {
            return Root::NONE;
        }
        match R::END {
            End::Low => Root::of_low_end(level, bits),
            End::High => Root::of_high_end(level, bits),
        }
    }

    #[inline]
    fn shift(level: Level) -> u32 {
        Self::whole(level) - Self::INDEX_BITS
    }

    #[inline]
    fn index_bits(_: Level) -> u32 {
        Self::INDEX_BITS
    }

    /// The levels of blocks (D8.3.1): level 2, and one more for pages of 4 KiB, and one more for 52 bits.
    #[inline]
    fn has_leaves(level: Level) -> bool {
        let more = u8::from(R::PAGE_SHIFT == 12) + u8::from(R::ADDRESS_BITS == 52);
        level.number() <= Level::PMD.number() + more
    }

    #[inline]
    fn empty(_: Level) -> u64 {
        0
    }

    #[inline]
    fn holds(at: PhysAddr) -> bool {
        at.get() >> R::ADDRESS_BITS == 0
    }

    #[inline]
    fn table(at: PhysAddr, _: Level, origin: Origin) -> u64 {
        VALID | TABLE_OR_PAGE | AF | FRESH | Self::address_to_bits(at) | tag(origin)
    }

    #[inline]
    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        let page = if level == Level::PTE { TABLE_OR_PAGE } else { 0 };
        Self::LEAF | page | FRESH | Self::address_to_bits(at) | tag(origin)
    }

    #[inline]
    fn shared(at: PhysAddr) -> u64 {
        Self::LEAF | TABLE_OR_PAGE | READ_ONLY | FRESH | Self::address_to_bits(at) | ORIGIN_MASK
    }

    /// Other combinations of the lowest bits are reserved, and the processor takes them for invalid.
    #[inline]
    fn target(raw: u64, level: Level) -> Target {
        let (at, origin) = (Self::address_of(raw), origin(raw));
        match (raw & KIND, level) {
            (KIND, Level::PTE) if raw & ORIGIN_MASK == ORIGIN_MASK => {
                Target::Shared { at: PhysAddr::new(at) }
            }
            (KIND, Level::PTE) => Target::Leaf { at: PhysAddr::new(at), origin },
            (KIND, _) => Target::Table { at: PhysAddr::new(at), origin },
            (VALID, Level::PTE) => Target::Empty,
            (VALID, _) if Self::has_leaves(level) => {
                let offset = (1 << Self::shift(level)) - 1;
                Target::Leaf { at: PhysAddr::new(at & !offset), origin }
            }
            _ => Target::Empty,
        }
    }

    /// `dsb ishst` and `isb` (crate documentation). On other processors, whose tests use the format, it keeps the
    /// compiler's order.
    #[inline]
    fn published() {
        #[cfg(target_arch = "aarch64")]
        crate::maintenance::publish();
        #[cfg(not(target_arch = "aarch64"))]
        // SeqCst, as on x86_64: it pairs with nothing, and orders stores before later loads.
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    }
}

/// The bits of an origin.
const fn tag(origin: Origin) -> u64 {
    // The cast widens.
    (origin.code() as u64) << ORIGIN_SHIFT
}

/// The origin that an entry holds; the fourth code, which no table and no block of this format has, stands for the
/// kernel's boot there.
#[inline]
const fn origin(raw: u64) -> Origin {
    match Origin::from_code((raw >> ORIGIN_SHIFT & 0b11) as u8) {
        Some(origin) => origin,
        None => Origin::Boot,
    }
}
