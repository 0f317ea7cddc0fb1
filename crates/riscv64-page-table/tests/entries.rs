//! Entries, word for word, and what words decode to that the format does not make.

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr, VirtAddr};
use sparsemem_page_table::{EntryFormat, Level, Root, Target};
use sparsemem_riscv64_page_table::Riscv64;

const LEVELS: [Level; 5] = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD];
const ORIGINS: [Origin; 3] = [Origin::Boot, Origin::Runtime, Origin::Altmap];
/// A multiple of the largest leaf, with the highest bits that an address has.
const AT: PhysAddr = PhysAddr::new(0x00ff_0000_0000_0000);

#[test]
fn every_kind_comes_back_at_every_level() {
    for (origin, level) in ORIGINS.into_iter().flat_map(|origin| LEVELS.map(|level| (origin, level))) {
        for fresh in [0, Riscv64::FRESH] {
            let leaf = Riscv64::leaf(AT, level, origin) & !fresh;
            assert_eq!(Riscv64::target(leaf, level), Target::Leaf { at: AT, origin });
            let table = Riscv64::table(AT, level, origin) & !fresh;
            let expected = if level == Level::PTE { Target::Empty } else { Target::Table { at: AT, origin } };
            assert_eq!(Riscv64::target(table, level), expected);
        }
        assert_eq!(Riscv64::target(Riscv64::empty(level), level), Target::Empty);
    }
}

#[test]
fn entries_are_those_of_the_manual() {
    let at = PhysAddr::new(0x8000_0000);
    // D A G W R V; the page number begins at bit 10.
    assert_eq!(Riscv64::leaf(at, Level::PUD, Origin::Boot), 0x8_0000 << 10 | 0b1110_0111);
    assert_eq!(Riscv64::table(at, Level::PUD, Origin::Altmap), 0x8_0000 << 10 | 0b10_0010_0001);
    assert_eq!(Riscv64::FRESH, 1 << 5);
}

#[test]
fn a_shared_page_is_to_be_read_only() {
    let entry = Riscv64::shared(PhysAddr::new(0x8000_0000));
    // A G R V, and what no origin has in bits 8 and 9; the page number begins at bit 10.
    assert_eq!(entry, 0x8_0000 << 10 | 0b11 << 8 | 0b0110_0011);
    for fresh in [0, Riscv64::FRESH] {
        let target = Riscv64::target(entry & !fresh, Level::PTE);
        assert_eq!(target, Target::Shared { at: PhysAddr::new(0x8000_0000) });
    }
}

/// A kernel's own leaves may be executable, or to be read only; the fourth origin is the kernel's.
#[test]
fn leaves_of_others_are_leaves() {
    let at = PhysAddr::new(0x8020_0000);
    for flags in [0b0011, 0b1001, 0b1011, 0b1111] {
        let entry = 0x8_0200 << 10 | 0b11 << 8 | flags;
        assert_eq!(Riscv64::target(entry, Level::PMD), Target::Leaf { at, origin: Origin::Boot });
    }
    // The bits of a page number below a large leaf are not its address.
    let leaf = Target::Leaf { at, origin: Origin::Boot };
    assert_eq!(Riscv64::target(0x8_0201 << 10 | 0b0011, Level::PMD), leaf);
}

#[test]
fn addresses_have_56_bits_and_levels_nine() {
    assert!(Riscv64::holds(PhysAddr::new((1 << 56) - 4096)) && !Riscv64::holds(PhysAddr::new(1 << 56)));
    assert_eq!(LEVELS.map(Riscv64::shift), [12, 21, 30, 39, 48]);
    let sizes = LEVELS.map(|level| Riscv64::leaf_size(level).map(LeafSize::shift));
    assert_eq!(sizes, [12, 21, 30, 39, 48].map(Some));
    for (depth, bits) in [(PagingDepth::Three, 39), (PagingDepth::Four, 48), (PagingDepth::Five, 57)] {
        let root = Riscv64::root(depth);
        assert_eq!((root.level(), root.bits()), (Level::of_root(depth), bits));
        let high = u64::MAX << (bits - 1);
        assert!(root.is_canonical(VirtAddr::new(high)) && !root.is_canonical(VirtAddr::new(high - 1)));
    }
    assert_eq!(Riscv64::root(PagingDepth::Two), Root::NONE);
}
