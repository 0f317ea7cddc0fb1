//! The entry format of riscv64 page tables: Sv39, Sv48 and Sv57, which are three, four and five levels.
//!
//! [`Riscv64`] defines the bits of an entry; [`PageTable`](sparsemem_page_table::PageTable) populates, walks and unmaps
//! tables of any format. Sections named in this crate are those of *The RISC-V Instruction Set Manual, Volume II:
//! Privileged Architecture*, version 20211203.
//!
//! # An entry (4.4.1)
//!
//! | state | V (0) | R W X (1 to 3) | what else |
//! |---|---|---|---|
//! | empty | 0 | - | |
//! | table of the level below, above the lowest | 1 | 0 0 0 | page number in 53:10 |
//! | leaf, at any level | 1 | 1 1 0 | page number in 53:10, A (6), D (7) |
//! | leaf whose page is shared, at the lowest | 1 | 1 0 0 | page number in 53:10, A (6), 11 in 9:8 |
//!
//! Bits 8 and 9 hold the [`Origin`] and bit 5 (G) is FRESH; the next section says why. 60 to 54 have to be zero, and
//! with zeros in 63 to 61 the extensions Svnapot and Svpbmt change nothing.
//!
//! # Invariants
//!
//! 1. Every leaf that is made here has A set, and D if it can be written: the processor has no reason to write to the
//!    entry, nor to fault except for a store to a shared page (4.3.1), so the walker's stores lose no update. In
//!    tables A, D and U are reserved and clear.
//!
//! # Two bits for software (4.4.1)
//!
//! Bits 8 and 9 hold the origin of an entry's target, or, as no origin has both set, that the page of a leaf is
//! shared and nobody's alone. None is left for the mark of a running populate, and 60 to 54 have to be zero. So the
//! mark is G (5), which says that a translation is the same in all address spaces. That is true of everything an
//! environment maps for a model, so the processor may believe it while it is there; when the populate is over, the
//! entry is not global any more. A hart that cached the entry in between may keep it as global, and drops it in a
//! flush for all address spaces, which is why a flush must not name an ASID (4.2.1).
//!
//! # What a kernel does when mappings change (4.2.1)
//!
//! - **Published**: a hart may have cached that an entry is invalid, and its own stores are not ordered before its own
//!   walks: `sfence.vma`. [`EntryFormat::published`] does it, for all addresses, because with an address the instruction
//!   orders leaves only, and tables were made too. **Other harts** need it as well, before they use the memory: in
//!   [`AddressSpace::published`](sparsemem_core::AddressSpace::published) by the SBI's remote fence, or in the handler of
//!   the fault that they get without reason, which does `sfence.vma` and returns. Where harts have `Svvptc`, they see
//!   the entry within a bounded time, and such a fault goes away by itself.
//! - **Forgotten**: `sfence.vma` for all addresses and all ASIDs on every hart. On this target, `forget` does it for the
//!   calling hart; [`AddressSpace::flush`](sparsemem_core::AddressSpace::flush) asks the others by the SBI.
//! - **Live changes** are allowed: a hart uses the old entry or the new one until the fence.
//!
//! ```
//! use sparsemem_core::{Origin, PhysAddr};
//! use sparsemem_page_table::{EntryFormat, Level, Target};
//! use sparsemem_riscv64_page_table::Riscv64;
//!
//! let leaf = Riscv64::leaf(PhysAddr::new(0x8020_0000), Level::PMD, Origin::Runtime) & !Riscv64::FRESH;
//! assert_eq!(leaf, 0x8020_0000 >> 2 | 0x1c7, "D, A, W, R, V, and the origin in bit 8");
//! ```
#![no_std]
#![allow(unsafe_code, reason = "promises that the processor reads its entries as it writes them")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

use sparsemem_core::{Origin, PagingDepth, PhysAddr};
use sparsemem_page_table::{EntryFormat, InUse, Level, Root, Target};

const VALID: u64 = 1 << 0;
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 2;
const EXECUTE: u64 = 1 << 3;
const GLOBAL: u64 = 1 << 5;
const ACCESSED: u64 = 1 << 6;
const DIRTY: u64 = 1 << 7;
const ORIGIN_SHIFT: u32 = 8;
/// The bits of an entry that hold a page number.
const PAGE_NUMBER: u64 = ((1 << 44) - 1) << 10;
/// The number of bits by which an address, without its lowest twelve bits, lies lower in an entry.
const ADDRESS_TO_ENTRY: u32 = 2;
/// Bits of a physical address.
const ADDRESS_BITS: u32 = 56;
/// Bits of a virtual address that choose an entry of a table.
const INDEX_BITS: u32 = 9;

const LEAF: u64 = VALID | READ | WRITE | ACCESSED | DIRTY;
const ORIGIN_MASK: u64 = 0b11 << ORIGIN_SHIFT;
const SHARED: u64 = VALID | READ | ACCESSED | ORIGIN_MASK;

/// The entries of riscv64 page tables with three (Sv39), four (Sv48) or five levels (Sv57).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Riscv64;

// SAFETY: 1. Leaves have READ and tables have not; the page number and the origin have bits of their own, and a level's
// leaf has zeros below its size. Proofs over all inputs are in `conformance/proofs`, and tests make and read one of each. 2. The bits
// are those of the manual (table above); FRESH is true when it is set (crate documentation); invariant 1 keeps the
// processor from writing. 3. FRESH is a bit that `target` does not read. 4. Nine index bits over 4 KiB; 39, 48 and 57 bits
// are 12 and three, four and five times nine (4.4, 4.5, 4.6). 5. See `published`. 6. See `IN_USE`. 7. All of it is
// arithmetic on the arguments.
unsafe impl EntryFormat for Riscv64 {
    const BASE_SHIFT: u32 = 12;
    const FRESH: u64 = GLOBAL;
    const NARROW_ROOT: bool = false;
    /// Until `SFENCE.VMA`, an access uses the entry that it was or the one that it became, also where a leaf became a table
    /// (4.2.1: it is unpredictable which one, and the behaviour is otherwise well defined).
    const IN_USE: InUse = InUse::MayChange;

    #[inline]
    fn root(depth: PagingDepth) -> Root {
        let level = Level::of_root(depth);
        match depth {
            PagingDepth::Two => Root::NONE,
            _ => Root::of_both_ends(level, Self::shift(level) + INDEX_BITS),
        }
    }

    #[inline]
    fn shift(level: Level) -> u32 {
        // The cast widens.
        Self::BASE_SHIFT + INDEX_BITS * (level.number() as u32 - 1)
    }

    #[inline]
    fn index_bits(_: Level) -> u32 {
        INDEX_BITS
    }

    /// A leaf may be at any level (4.3.2).
    #[inline]
    fn has_leaves(_: Level) -> bool {
        true
    }

    #[inline]
    fn empty(_: Level) -> u64 {
        0
    }

    #[inline]
    fn holds(at: PhysAddr) -> bool {
        at.get() >> ADDRESS_BITS == 0
    }

    #[inline]
    fn table(at: PhysAddr, _: Level, origin: Origin) -> u64 {
        pack(at, origin, VALID)
    }

    #[inline]
    fn leaf(at: PhysAddr, _: Level, origin: Origin) -> u64 {
        pack(at, origin, LEAF)
    }

    #[inline]
    fn shared(at: PhysAddr) -> u64 {
        pack(at, Origin::Boot, SHARED)
    }

    #[inline]
    fn target(raw: u64, level: Level) -> Target {
        let (at, origin) = ((raw & PAGE_NUMBER) << ADDRESS_TO_ENTRY, origin(raw));
        if raw & VALID == 0 {
            return Target::Empty;
        }
        if raw & (READ | EXECUTE) != 0 {
            if level == Level::PTE && raw & ORIGIN_MASK == ORIGIN_MASK {
                return Target::Shared { at: PhysAddr::new(at) };
            }
            let offset = (1 << Self::shift(level)) - 1;
            return Target::Leaf { at: PhysAddr::new(at & !offset), origin };
        }
        match level {
            // There is no table below, so the processor faults.
            Level::PTE => Target::Empty,
            _ => Target::Table { at: PhysAddr::new(at), origin },
        }
    }

    /// `sfence.vma` for all addresses (crate documentation). On other processors, whose tests use the format, it keeps
    /// the compiler's order.
    #[inline]
    fn published() {
        #[cfg(target_arch = "riscv64")]
        forget();
        #[cfg(not(target_arch = "riscv64"))]
        // SeqCst, as on x86_64: it pairs with nothing, and orders stores before later loads.
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    }
}

/// A fresh entry.
#[inline]
const fn pack(at: PhysAddr, origin: Origin, flags: u64) -> u64 {
    // The cast widens.
    let tag = (origin.code() as u64) << ORIGIN_SHIFT;
    at.get() >> ADDRESS_TO_ENTRY & PAGE_NUMBER | tag | GLOBAL | flags
}

/// The origin that an entry holds; the fourth code, which no table and no large leaf of this format has, stands for the
/// kernel's boot there.
#[inline]
const fn origin(raw: u64) -> Origin {
    match Origin::from_code((raw >> ORIGIN_SHIFT & 0b11) as u8) {
        Some(origin) => origin,
        None => Origin::Boot,
    }
}

/// Makes the calling hart drop all its cached translations and entries of tables, for all address spaces (4.2.1).
///
/// It is the local part of an [`AddressSpace::flush`](sparsemem_core::AddressSpace::flush): for every address, because
/// with an address the instruction says nothing of tables.
#[cfg(target_arch = "riscv64")]
#[inline]
pub fn forget() {
    // SAFETY: what the hart forgets it reads again.
    unsafe { core::arch::asm!("sfence.vma", options(nostack, preserves_flags)) };
}
