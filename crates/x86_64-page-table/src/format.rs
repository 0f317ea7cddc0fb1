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
use sparsemem_page_table::{EntryFormat, Level, Root, Target};
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

/// Not GLOBAL: a kernel that keeps user and kernel translations apart could not drop the leaf by changing the root, and
/// GLOBAL gains little for a memmap.
const LEAF: PageTableFlags = TABLE.union(PageTableFlags::DIRTY).union(PageTableFlags::NO_EXECUTE);

/// Not DIRTY: the processor sets that for stores only.
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
// `published`. 6. All of it is arithmetic on the arguments.
unsafe impl EntryFormat for X86_64 {
    const BASE_SHIFT: u32 = 12;
    const FRESH: u64 = FRESH;
    const NARROW_ROOT: bool = false;

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

#[cfg(test)]
mod tests {
    use sparsemem_core::LeafSize;

    use super::*;

    const AT: PhysAddr = PhysAddr::new(0x000f_ffff_c000_0000);
    const ORIGINS: [Origin; 3] = [Origin::Boot, Origin::Runtime, Origin::Altmap];

    #[test]
    fn every_kind_comes_back() {
        for origin in ORIGINS {
            for level in [Level::PTE, Level::PMD, Level::PUD] {
                let leaf = Target::Leaf { at: AT, origin };
                assert_eq!(X86_64::target(X86_64::leaf(AT, level, origin), level), leaf);
            }
            for level in [Level::PMD, Level::PUD, Level::P4D, Level::PGD] {
                let table = Target::Table { at: AT, origin };
                assert_eq!(X86_64::target(X86_64::table(AT, level, origin), level), table);
            }
        }
        assert_eq!(X86_64::target(X86_64::empty(Level::PMD), Level::PMD), Target::Empty);
    }

    #[test]
    fn freshness_is_one_bit_and_no_flag() {
        let fresh = X86_64::leaf(AT, Level::PMD, Origin::Altmap);
        let settled = fresh & !X86_64::FRESH;
        assert!(fresh != settled && X86_64::FRESH.count_ones() == 1);
        assert_eq!(X86_64::flags(fresh), X86_64::flags(settled));
        assert_eq!(X86_64::target(fresh, Level::PMD), X86_64::target(settled, Level::PMD));
        assert_eq!(X86_64::flags(fresh), LEAF | PageTableFlags::HUGE_PAGE);
    }

    /// Not DIRTY either: a page that is dirty and not writable belongs to a shadow stack.
    #[test]
    fn a_shared_page_is_to_be_read_only() {
        let entry = X86_64::shared(AT);
        let flags = PageTableFlags::PRESENT | PageTableFlags::ACCESSED | PageTableFlags::NO_EXECUTE;
        assert_eq!(X86_64::flags(entry), flags);
        for fresh in [0, X86_64::FRESH] {
            assert_eq!(X86_64::target(entry & !fresh, Level::PTE), Target::Shared { at: AT });
        }
        // A large leaf with these bits is the kernel's.
        let large = entry | PageTableFlags::HUGE_PAGE.bits();
        assert_eq!(X86_64::target(large, Level::PMD), Target::Leaf { at: AT, origin: Origin::Boot });
    }

    /// Bit 7 of a small leaf is not a size: it would choose another memory type (PAT).
    #[test]
    fn only_large_leaves_have_the_bit_of_large_leaves() {
        for origin in ORIGINS {
            assert_eq!(X86_64::flags(X86_64::leaf(AT, Level::PTE, origin)), LEAF);
            for level in [Level::PMD, Level::PUD] {
                assert_eq!(X86_64::flags(X86_64::leaf(AT, level, origin)), LEAF | PageTableFlags::HUGE_PAGE);
                assert_eq!(X86_64::flags(X86_64::table(AT, level, origin)), TABLE);
            }
        }
    }

    #[test]
    fn bits_below_a_large_frame_are_not_address() {
        let pat = X86_64::leaf(AT, Level::PMD, Origin::Runtime) | 1 << 12;
        assert_eq!(X86_64::target(pat, Level::PMD), Target::Leaf { at: AT, origin: Origin::Runtime });
    }

    #[test]
    fn addresses_have_52_bits() {
        assert!(X86_64::holds(PhysAddr::new(0)) && X86_64::holds(AT));
        assert!(X86_64::holds(PhysAddr::new((1 << 52) - 0x1000)));
        assert!(!X86_64::holds(PhysAddr::new(1 << 52)) && !X86_64::holds(PhysAddr::new(1 << 63)));
    }

    #[test]
    fn origins_have_two_bits() {
        for origin in ORIGINS {
            let entry = X86_64::table(PhysAddr::new(0), Level::PMD, origin) & !(TABLE.bits() | FRESH);
            assert_eq!(entry, u64::from(origin.code()) << 9);
            assert_eq!(super::origin(entry), origin);
        }
        assert_eq!(super::origin(ORIGIN_MASK), Origin::Boot);
    }

    #[test]
    fn leaves_have_the_sizes_of_the_manual() {
        let sizes = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD].map(X86_64::leaf_size);
        let leaves = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB].map(Some);
        assert_eq!((&sizes[..3], &sizes[3..]), (&leaves[..], &[None, None][..]));
    }

    #[test]
    fn the_root_translates_every_canonical_address() {
        for (depth, levels, bits) in [(PagingDepth::Four, 4, 48), (PagingDepth::Five, 5, 57)] {
            let root = X86_64::root(depth);
            assert_eq!((root.level().number(), root.bits()), (levels, bits));
            assert_eq!(bits, X86_64::shift(root.level()) + INDEX_BITS, "the root is a whole table");
        }
        assert_eq!([PagingDepth::Two, PagingDepth::Three].map(X86_64::root), [Root::NONE; 2]);
    }
}
