//! Descriptors, word for word, and what words decode to that the format does not make.

use sparsemem_aarch64_page_table::{Aarch64, End, Granule4K, Granule16K, Granule64K, PagesOf, Regime};
use sparsemem_core::presets::{Arm64Page4K, Arm64Page16K, Arm64Page64K};
use sparsemem_core::{Origin, PagingDepth, PhysAddr, VirtAddr};
use sparsemem_page_table::{EntryFormat, Level, Root, Target};

/// Addresses of 52 bits, with pages of 2^`PAGE` bytes.
#[derive(Clone, Copy)]
struct Large<const PAGE: u32>;

impl<const PAGE: u32> Regime for Large<PAGE> {
    const PAGE_SHIFT: u32 = PAGE;
    const ADDRESS_BITS: u32 = 52;
}

/// The first addresses, with another attribute for normal memory.
#[derive(Clone, Copy)]
struct Low;

impl Regime for Low {
    const PAGE_SHIFT: u32 = 12;
    const END: End = End::Low;
    const NORMAL: u64 = 4;
}

const ORIGINS: [Origin; 3] = [Origin::Boot, Origin::Runtime, Origin::Altmap];
const LEVELS: [Level; 4] = [Level::PTE, Level::PMD, Level::PUD, Level::P4D];

/// Every entry of a format comes back, for the highest address that it holds.
fn comes_back<F: EntryFormat>(address_bits: u32, leaves: usize) {
    let at = PhysAddr::new(0b11 << (address_bits - 2));
    assert!(F::holds(at) && !F::holds(PhysAddr::new(1 << address_bits)));
    for (number, level) in LEVELS.into_iter().enumerate() {
        assert_eq!(F::has_leaves(level), number < leaves, "{level}");
        for (origin, fresh) in ORIGINS.into_iter().flat_map(|origin| [(origin, 0), (origin, F::FRESH)]) {
            let table = F::target(F::table(at, level, origin) & !fresh, level);
            if level > Level::PTE {
                assert_eq!(table, Target::Table { at, origin });
            }
            let leaf = F::target(F::leaf(at, level, origin) & !fresh, level);
            let expected = if number < leaves { Target::Leaf { at, origin } } else { Target::Empty };
            assert_eq!(leaf, expected, "{level}");
        }
        assert_eq!(F::target(F::empty(level), level), Target::Empty);
    }
}

#[test]
fn every_kind_comes_back() {
    comes_back::<Aarch64<Granule4K>>(48, 3);
    comes_back::<Aarch64<Granule16K>>(48, 2);
    comes_back::<Aarch64<Granule64K>>(48, 2);
    comes_back::<Aarch64<Large<12>>>(52, 4);
    comes_back::<Aarch64<Large<14>>>(52, 3);
    comes_back::<Aarch64<Large<16>>>(52, 3);
}

#[test]
fn descriptors_are_those_of_the_manual() {
    let at = PhysAddr::new(0x000c_0000_4000_0000);
    let settled = |entry: u64| entry & !Aarch64::<Granule4K>::FRESH;
    let high = |at: u64| at & 0xffff_ffff_ffff;
    // UXN and PXN, nG, AF, and inner shareable where entries say so; bits 51:48 of the address wherever they go.
    let low = PhysAddr::new(0x4000_0000);
    assert_eq!(settled(Aarch64::<Granule4K>::leaf(low, Level::PTE, Origin::Boot)), 0x0060_0000_4000_0f03);
    assert_eq!(settled(Aarch64::<Granule64K>::leaf(low, Level::PMD, Origin::Boot)), 0x0060_0000_4000_0f01);
    assert_eq!(settled(Aarch64::<Low>::leaf(low, Level::PTE, Origin::Runtime)), 0x00e0_0000_4000_0f13);
    assert_eq!(settled(Aarch64::<Granule4K>::table(low, Level::PMD, Origin::Altmap)), 0x0100_0000_4000_0403);
    let lpa2 = settled(Aarch64::<Large<12>>::leaf(at, Level::PUD, Origin::Boot));
    assert_eq!(
        lpa2,
        0x0060_0000_4000_0c01 | 0b11 << 8,
        "bits 51 and 50 in 9 and 8, none of them shareability"
    );
    let lpa = settled(Aarch64::<Large<16>>::leaf(at, Level::PTE, Origin::Boot));
    assert_eq!(lpa, 0x0060_0000_0000_0f03 | high(at.get()) | 0xc << 12, "bits 51 to 48 in 15 to 12");
    assert_eq!(Aarch64::<Granule4K>::FRESH, 1 << 57);
}

/// What the processor takes for invalid is empty.
#[test]
fn reserved_descriptors_are_empty() {
    assert_eq!(Aarch64::<Granule4K>::target(0b01, Level::PTE), Target::Empty, "there are no blocks");
    assert_eq!(Aarch64::<Granule4K>::target(0b01, Level::P4D), Target::Empty);
    assert_eq!(Aarch64::<Granule4K>::target(0b10, Level::PMD), Target::Empty);
    let fourth = 0b11 << 55 | 0b11;
    let table = Target::Table { at: PhysAddr::new(0), origin: Origin::Boot };
    assert_eq!(Aarch64::<Granule4K>::target(fourth, Level::PMD), table, "an origin that no entry has");
}

#[test]
fn roots_are_those_of_the_granule() {
    let bits = |root: Root| root.bits();
    let depths = [PagingDepth::Two, PagingDepth::Three, PagingDepth::Four, PagingDepth::Five];
    assert_eq!(depths.map(Aarch64::<PagesOf<Arm64Page4K>>::root).map(bits), [30, 39, 48, 0]);
    assert_eq!(depths.map(Aarch64::<PagesOf<Arm64Page16K>>::root).map(bits), [36, 47, 48, 0]);
    assert_eq!(depths.map(Aarch64::<PagesOf<Arm64Page64K>>::root).map(bits), [42, 48, 0, 0]);
    assert_eq!(depths.map(Aarch64::<Large<12>>::root).map(bits), [30, 39, 48, 52]);
    let (kernel, user) = (VirtAddr::new(0xffff_0000_0000_0000), VirtAddr::new(0x0000_ffff_ffff_ffff));
    let root = Aarch64::<Granule4K>::root(PagingDepth::Four);
    assert!(root.is_canonical(kernel) && !root.is_canonical(user));
    let root = Aarch64::<Low>::root(PagingDepth::Four);
    assert!(!root.is_canonical(kernel) && root.is_canonical(user));
}

#[test]
fn a_shared_page_is_to_be_read_only() {
    fn check<R: Regime>() {
        let at = PhysAddr::new(0x8000_0000);
        let (own, shared) = (Aarch64::<R>::leaf(at, Level::PTE, Origin::Boot), Aarch64::<R>::shared(at));
        assert_eq!(own ^ shared, 1 << 7 | 0b11 << 55, "AP[2], and what no origin has");
        for fresh in [0, Aarch64::<R>::FRESH] {
            assert_eq!(Aarch64::<R>::target(shared & !fresh, Level::PTE), Target::Shared { at });
        }
    }
    check::<Granule4K>();
    check::<Granule16K>();
    check::<Granule64K>();
    check::<Large<12>>();
    check::<Large<14>>();
    check::<Large<16>>();
}
