//! Words: the worked vectors, and what no vector says.

use super::*;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{Page, SectionNr};

/// A pointer that is only a number, as the vectors give it.
fn at(address: usize) -> NonNull<Page> {
    NonNull::new(core::ptr::without_provenance_mut(address)).unwrap()
}

fn first(section: u64) -> Pfn {
    SectionNr::new(section).first_pfn::<X86_64>().unwrap()
}

#[test]
fn encodes_as_in_the_worked_vectors() {
    // The worked vectors (T-05).
    let memmap = at(0xffff_8880_1234_5000);
    let coded = |section| {
        let word = SectionWord::mapped(memmap, first(section), SectionFlags::empty()).unwrap();
        word.coded().addr()
    };
    assert_eq!(coded(0), 0xffff_8880_1234_5000);
    assert_eq!(coded(1), 0xffff_8880_1214_5000);
    assert_eq!(coded(32), 0xffff_8880_0e34_5000);
    assert_eq!(coded(524_287), 0xffff_8780_1254_5000);
    for section in [0, 1, 32, 524_287] {
        let word = SectionWord::mapped(memmap, first(section), SectionFlags::EARLY).unwrap();
        let fifth = Pfn::new(first(section).get() + 5);
        assert_eq!(word.descriptor(fifth).addr(), memmap.as_ptr().addr() + 0x140);
        assert_eq!(word.frame(word.descriptor(fifth)), fifth);
    }
}

/// Descriptors of `P`, whose flags may be cleared before or after the frame is added.
fn finds_descriptors_of<P>() {
    let memmap = NonNull::new(core::ptr::without_provenance_mut::<P>(0x7000_0000)).unwrap();
    for flags in [SectionFlags::empty(), SectionFlags::all()] {
        let word = SectionWord::mapped(memmap, first(3), flags).unwrap();
        for offset in [0, 1, 5, 0x7fff] {
            let pfn = Pfn::new(first(3).get() + offset);
            let bytes = usize::try_from(offset).unwrap() * size_of::<P>();
            assert_eq!(word.descriptor(pfn).addr(), 0x7000_0000 + bytes, "{} bytes", size_of::<P>());
            assert_eq!(word.frame(word.descriptor(pfn)), pfn);
        }
    }
}

#[test]
fn flags_are_no_part_of_the_address_whatever_the_size() {
    finds_descriptors_of::<[u64; 1]>();
    finds_descriptors_of::<[u64; 4]>();
    finds_descriptors_of::<[u64; 7]>();
    finds_descriptors_of::<[u64; 8]>();
    finds_descriptors_of::<[u64; 10]>();
}

/// Sizes in bytes that are not multiples of 32: their descriptors do touch the flags.
#[test]
fn flags_are_no_part_of_the_address_beside_multiples_of_32() {
    finds_descriptors_of::<[u64; 15]>();
    finds_descriptors_of::<[u64; 31]>();
    finds_descriptors_of::<[u64; 33]>();
}

#[test]
fn a_virtual_memmap_encodes_to_its_base() {
    // The worked vectors (T-04).
    let base = 0xffff_ea00_0000_0000_usize;
    for section in [0, 32, 524_287] {
        let memmap = at(base + usize::try_from(first(section).get() * 64).unwrap());
        let word = SectionWord::mapped(memmap, first(section), SectionFlags::PRESENT).unwrap();
        assert_eq!(word.coded().addr(), base);
        assert_eq!(word.flags(), SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP);
    }
}

#[test]
fn an_early_node_sits_above_the_flags() {
    // The worked vectors (T-07).
    let flags = SectionFlags::PRESENT | SectionFlags::ONLINE;
    let word = SectionWord::<Page>::marked(NodeId::new(5), flags).unwrap();
    assert_eq!(word.into_raw().addr(), 0xa5);
    assert_eq!(word.early_node(), Some(NodeId::new(5)));
    assert!(!word.has_memmap());
    let largest = SectionWord::<Page>::marked(NodeId::new(u32::MAX), flags);
    assert_eq!(largest.is_ok(), usize::BITS == 64);
}

#[test]
fn one_processor_claims_a_marked_section() {
    let flags = SectionFlags::PRESENT | SectionFlags::ONLINE;
    let marked = SectionWord::<Page>::marked(NodeId::new(5), flags).unwrap();
    let claimed = marked.claimed();
    assert!(marked.is_deferred() && !marked.is_claimed());
    assert!(claimed.is_claimed() && !claimed.is_deferred());
    // Whoever looks sees a section that waits.
    assert_eq!((claimed.flags(), claimed.early_node()), (flags, Some(NodeId::new(5))));
    assert!(!SectionWord::<Page>::ABSENT.is_deferred());
    let mapped = SectionWord::mapped(at(0x7000_0000), first(3), flags).unwrap();
    assert!(!mapped.is_deferred());
}

#[test]
fn bits_that_are_no_flags_have_no_place_in_a_word() {
    let stray = SectionFlags::from_bits_retain(0xe0) | SectionFlags::PRESENT;
    let word = SectionWord::mapped(at(0x40_0000), first(0), stray).unwrap();
    assert_eq!(word.coded().addr(), 0x40_0000);
    assert_eq!(word.with_flags(stray).coded(), word.coded());
    assert_eq!(
        SectionWord::<Page>::marked(NodeId::new(5), stray).unwrap().early_node(),
        Some(NodeId::new(5))
    );
}

#[test]
fn stray_low_bits_are_refused() {
    let error = SectionWord::mapped(at(0x1008), first(0), SectionFlags::EARLY).unwrap_err();
    assert_eq!(error, NotEncodable { address: 0x1008, first: first(0) });
}

#[test]
fn flags_change_without_the_pointer() {
    let word = SectionWord::mapped(at(0x40_0000), first(1), SectionFlags::PRESENT).unwrap();
    let online = word.with_flags(word.flags() | SectionFlags::ONLINE);
    assert_eq!(online.coded(), word.coded());
    assert!(online.flags().contains(SectionFlags::ONLINE | SectionFlags::HAS_MEM_MAP));
    assert!(SectionWord::<Page>::ABSENT.is_absent() && SectionWord::<Page>::ABSENT.early_node().is_none());
}

#[test]
fn a_mapped_word_has_the_flags_that_were_given() {
    for flags in [SectionFlags::empty(), SectionFlags::HAS_MEM_MAP, SectionFlags::all()] {
        let word = SectionWord::mapped(at(0x40_0000), first(0), flags).unwrap();
        assert_eq!(word.flags(), flags | SectionFlags::HAS_MEM_MAP);
        assert_eq!(word.with_flags(flags).flags(), flags);
    }
}

#[test]
fn words_differ_by_flags_and_by_pointer() {
    let word = |address, flags| SectionWord::mapped(at(address), first(0), flags).unwrap();
    let plain = word(0x40_0000, SectionFlags::PRESENT);
    assert_eq!(plain, word(0x40_0000, SectionFlags::PRESENT));
    assert_ne!(plain, word(0x40_0000, SectionFlags::PRESENT | SectionFlags::ONLINE));
    assert_ne!(plain, word(0x80_0000, SectionFlags::PRESENT));
    assert!(plain != SectionWord::ABSENT && !plain.is_absent());
}

#[test]
fn words_print_what_they_hold() {
    let marked = SectionWord::<Page>::marked(NodeId::new(5), SectionFlags::PRESENT).unwrap();
    let mapped = SectionWord::mapped(at(0x40_0000), first(0), SectionFlags::PRESENT).unwrap();
    assert!(std::format!("{marked:?}").contains("node 5"), "{marked:?}");
    assert!(std::format!("{mapped:?}").contains("0x400000"), "{mapped:?}");
}
