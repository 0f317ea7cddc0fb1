//! Entries, flag for flag, and what words decode to.

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr};
use sparsemem_page_table::{EntryFormat, Level, Root, Target};
use sparsemem_x86_64_page_table::{PageTableFlags, X86_64};

const TABLE: PageTableFlags =
    PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE).union(PageTableFlags::ACCESSED);
const LEAF: PageTableFlags = TABLE.union(PageTableFlags::DIRTY).union(PageTableFlags::NO_EXECUTE);
/// The bits for software that hold the origin.
const ORIGIN: u64 = PageTableFlags::BIT_9.bits() | PageTableFlags::BIT_10.bits();

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
        let entry = X86_64::table(PhysAddr::new(0), Level::PMD, origin);
        assert_eq!(entry & !(TABLE.bits() | X86_64::FRESH), u64::from(origin.code()) << 9);
    }
    let table = Target::Table { at: PhysAddr::new(0), origin: Origin::Boot };
    assert_eq!(X86_64::target(TABLE.bits() | ORIGIN, Level::PMD), table, "the fourth code");
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
        assert_eq!(
            bits,
            X86_64::shift(root.level()) + X86_64::index_bits(root.level()),
            "the root is a whole table"
        );
    }
    assert_eq!([PagingDepth::Two, PagingDepth::Three].map(X86_64::root), [Root::NONE; 2]);
}
