//! One x86_64 page-table entry as a tagged word.
//!
//! | state | PRESENT (0) | large-leaf bit (7) | address bits |
//! |---|---|---|---|
//! | empty | 0 | - | - |
//! | table of the level below | 1 | 0, levels 2 and up | 12..52 |
//! | leaf of 4 KiB | 1 | (PAT), level 1 | 12..52 |
//! | leaf of 2 MiB, 1 GiB | 1 | 1, levels 2 and 3 | 21..52, 30..52 |
//!
//! Bits 9 and 10 hold the [`Origin`] and bit 58 is FRESH. The processor ignores all three. In a leaf of 4 KiB both bits of
//! the origin say that its page is shared; such a leaf is not WRITABLE, so that a store faults while `CR0.WP` is set, and
//! not DIRTY, because that combination would be a page of a shadow stack.
//!
//! # Invariants
//!
//! 1. Every entry that is made here has ACCESSED, and for leaves that can be written DIRTY, set from the start: the
//!    processor has no reason to write to the entry, so the walker's stores lose no update.

use core::sync::atomic::{Ordering, compiler_fence};

use sparsemem_core::{Origin, PagingDepth, PhysAddr};
use sparsemem_page_table::{EntryFormat, InUse, Level, Root, Target};
use x86_64::structures::paging::PageTableFlags;

/// The position of the lower bit of the origin.
const ORIGIN_SHIFT: u32 = 9;
const ORIGIN_MASK: u64 = 0b11 << ORIGIN_SHIFT;
/// The bits of an entry that are not flags of the processor.
const NOT_FLAGS: u64 = ADDRESS | ORIGIN_MASK | FRESH;
/// The bits of an entry that hold the address of a 4 KiB frame.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const FRESH: u64 = PageTableFlags::BIT_58.bits();
/// Bits of an address that choose an entry of a table.
const INDEX_BITS: u32 = 9;

const TABLE: PageTableFlags =
    PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE).union(PageTableFlags::ACCESSED);

/// A leaf is not GLOBAL: a kernel that keeps user and kernel translations apart could not drop the leaf by changing the
/// root, and GLOBAL gains little for a memmap.
const LEAF: PageTableFlags = TABLE.union(PageTableFlags::DIRTY).union(PageTableFlags::NO_EXECUTE);

/// A shared leaf is not DIRTY: the processor sets that for stores only.
const SHARED: PageTableFlags = PageTableFlags::PRESENT
    .union(PageTableFlags::ACCESSED)
    .union(PageTableFlags::NO_EXECUTE)
    .union(PageTableFlags::BIT_9)
    .union(PageTableFlags::BIT_10);

const _: () = {
    assert!(PageTableFlags::BIT_9.bits() | PageTableFlags::BIT_10.bits() == ORIGIN_MASK);
    assert!(ADDRESS & (ORIGIN_MASK | FRESH | LEAF.bits() | PageTableFlags::HUGE_PAGE.bits()) == 0);
};

/// The entries of x86_64 page tables with four or five levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct X86_64;

// SAFETY: 1. Tables and leaves differ in the large-leaf bit where a level has both, and the address and the origin have
// bits of their own; the empty entry has no PRESENT. Tests make and read one of each. 2. The bits are those of the
// processor's manual (table above), and invariant 1 keeps it from writing. 3. FRESH is a bit that `target` does not
// read. 4. Nine index bits over 4 KiB; 48 bits are 12 and four times nine, 57 are 12 and five times nine. 5. See
// `published`. 6. See `IN_USE`. 7. All of it is arithmetic on the arguments.
unsafe impl EntryFormat for X86_64 {
    const BASE_SHIFT: u32 = 12;
    const FRESH: u64 = FRESH;
    const NARROW_ROOT: bool = false;
    /// Until the address is invalidated, an access may use the cached translation (Intel SDM vol. 3, 4.10.4.2, 4.10.4.3). Where size and
    /// address change together, it is uncertain which one (4.10.2.3, whose advice is to make the entry not present in
    /// between, so that a reader would fault); both are correct here, because nobody writes to either until the flush.
    const IN_USE: InUse = InUse::MayChange;

    #[inline]
    fn root(depth: PagingDepth) -> Root {
        match depth {
            PagingDepth::Four => Root::of_both_ends(Level::P4D, 48),
            PagingDepth::Five => Root::of_both_ends(Level::PGD, 57),
            PagingDepth::Two | PagingDepth::Three => Root::NONE,
        }
    }

    #[inline]
    fn shift(level: Level) -> u32 {
        Self::BASE_SHIFT + INDEX_BITS * (level.number() as u32 - 1)
    }

    #[inline]
    fn index_bits(_: Level) -> u32 {
        INDEX_BITS
    }

    #[inline]
    fn has_leaves(level: Level) -> bool {
        level <= Level::PUD
    }

    #[inline]
    fn empty(_: Level) -> u64 {
        0
    }

    #[inline]
    fn holds(at: PhysAddr) -> bool {
        at.get() & !ADDRESS == 0
    }

    #[inline]
    fn table(at: PhysAddr, _: Level, origin: Origin) -> u64 {
        pack(at, origin, TABLE)
    }

    #[inline]
    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        match level {
            Level::PTE => pack(at, origin, LEAF),
            _ => pack(at, origin, LEAF.union(PageTableFlags::HUGE_PAGE)),
        }
    }

    #[inline]
    fn shared(at: PhysAddr) -> u64 {
        pack(at, Origin::Boot, SHARED)
    }

    #[inline]
    fn target(raw: u64, level: Level) -> Target {
        if raw & PageTableFlags::PRESENT.bits() == 0 {
            return Target::Empty;
        }
        let (origin, large) = (origin(raw), raw & PageTableFlags::HUGE_PAGE.bits() != 0);
        if Self::has_leaves(level) && (large || level == Level::PTE) {
            if level == Level::PTE && raw & ORIGIN_MASK == ORIGIN_MASK {
                return Target::Shared { at: PhysAddr::new(raw & ADDRESS) };
            }
            let offset = (1 << Self::shift(level)) - 1;
            return Target::Leaf { at: PhysAddr::new(raw & ADDRESS & !offset), origin };
        }
        // Above the PUD the bit is reserved: a tree that holds it is not well formed (see `PageTable::new`).
        Target::Table { at: PhysAddr::new(raw & ADDRESS), origin }
    }

    /// Keeps the compiler from moving accesses to mapped memory before the stores of the entries that map it: to the
    /// compiler they are unrelated.
    ///
    /// The processor needs nothing more: an entry that is not present is never cached, neither as a translation nor on
    /// the path to one, so making it present takes no invalidation (Intel SDM vol. 3, 4.10.4.3, which lists it among
    /// the changes whose invalidation is optional). Entries that were cached when the address was mapped an earlier
    /// time have been flushed since, before its memory was freed.
    #[inline]
    fn published() {
        // SeqCst is the only ordering that also orders stores before later loads. It pairs with nothing: it is about
        // one processor.
        compiler_fence(Ordering::SeqCst);
    }
}

impl X86_64 {
    /// The processor's flags of an entry, without address, origin and mark.
    #[inline]
    #[must_use]
    pub const fn flags(entry: u64) -> PageTableFlags {
        PageTableFlags::from_bits_truncate(entry & !NOT_FLAGS)
    }
}

/// A fresh entry.
#[inline]
const fn pack(at: PhysAddr, origin: Origin, flags: PageTableFlags) -> u64 {
    // The cast widens.
    let origin = (origin.code() as u64) << ORIGIN_SHIFT;
    let flags = flags.union(PageTableFlags::from_bits_retain(at.get() & ADDRESS));
    flags
        .union(PageTableFlags::from_bits_retain(origin))
        .union(PageTableFlags::from_bits_retain(FRESH))
        .bits()
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
