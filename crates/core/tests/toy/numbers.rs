//! Frames, sections, ranges and sets of subsections at the ends of their numbers.

use std::sync::atomic::Ordering;

use sparsemem_core::presets::{Arm64Page64K, Sparc64, Tiny, X86_64};
use sparsemem_core::{
    BitWords, MemoryRange, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr, SectionShape,
    SubsectionBits, SubsectionIdx,
};

use crate::model::{bits, frames};

#[test]
fn an_address_lies_in_the_frame_of_its_page() {
    assert_eq!(PhysAddr::new(0x5fff).pfn::<Tiny>(), Pfn::new(5));
    assert_eq!(PhysAddr::new(0x6000).pfn::<Tiny>(), Pfn::new(6));
    assert_eq!(PhysAddr::new(0x6_0000).pfn::<Arm64Page64K>(), Pfn::new(6));
    assert_eq!(PhysAddr::new(u64::MAX).pfn::<X86_64>(), Pfn::new(u64::MAX >> 12));
}

#[test]
fn firmware_memory_is_taken_in_whole_frames() {
    let bytes = PhysRange::new(PhysAddr::new(0x1001), PhysAddr::new(0x8fff)).unwrap();
    let range = MemoryRange::from_bytes::<Tiny>(bytes, NodeId::new(2));
    assert_eq!(range, MemoryRange { frames: frames(2, 8), node: NodeId::new(2) });
    // No frame is whole here, and the next one begins behind the end.
    let sliver = PhysRange::new(PhysAddr::new(0x1001), PhysAddr::new(0x1fff)).unwrap();
    assert_eq!(sliver.whole_frames::<Tiny>(), frames(2, 2));
    let nothing = PhysRange::empty_at(PhysAddr::new(0x3000));
    assert_eq!(nothing.whole_frames::<Tiny>(), frames(3, 3));
}

#[test]
fn sections_end_where_frame_numbers_end() {
    let last = SectionNr::new(u64::MAX >> 3);
    assert_eq!(last.first_pfn::<Tiny>(), Some(Pfn::new(u64::MAX - 7)));
    assert_eq!(last.next().first_pfn::<Tiny>(), None);
    assert_eq!(last.frames::<Tiny>(), None, "its end is no frame number");
    assert_eq!(SectionNr::new(7).frames::<Tiny>(), Some(frames(56, 64)));
    assert!(SectionNr::new(0).exists::<Tiny>() && SectionNr::new(7).exists::<Tiny>());
    assert!(!SectionNr::new(8).exists::<Tiny>() && !SectionNr::new(9).exists::<Tiny>());
    assert_eq!(SectionNr::new(7).next(), SectionNr::new(8));
    assert_eq!(SectionNr::new(u64::MAX).next(), SectionNr::new(u64::MAX));
}

#[test]
fn a_frame_has_an_address_if_it_fits() {
    assert_eq!(Pfn::new(3).phys::<Tiny>(), Some(PhysAddr::new(0x3000)));
    assert_eq!(Pfn::new(u64::MAX >> 12).phys::<Tiny>(), Some(PhysAddr::new(!0xfff)));
    assert_eq!(Pfn::new((u64::MAX >> 12) + 1).phys::<Tiny>(), None);
}

#[test]
fn a_frame_has_a_place_in_its_section() {
    let place = |pfn: Pfn| (pfn.section::<Tiny>(), pfn.subsection::<Tiny>(), pfn.offset_in_section::<Tiny>());
    let expected = |nr, sub, offset| (SectionNr::new(nr), SubsectionIdx::new(sub), PageCount::new(offset));
    assert_eq!(place(Pfn::new(0)), expected(0, 0, 0));
    assert_eq!(place(Pfn::new(21)), expected(2, 2, 5));
    assert_eq!(place(Pfn::new(63)), expected(7, 3, 7));
}

/// Growth must not lose the top of the numbers, where rounding up has no room.
#[test]
fn ranges_grow_to_subsections_up_to_the_largest_number() {
    assert_eq!(frames(2, 6).whole_subsections::<Tiny>(), frames(2, 6));
    assert_eq!(frames(5, 6).whole_subsections::<Tiny>(), frames(4, 6));
    assert_eq!(frames(3, 3).whole_subsections::<Tiny>(), frames(3, 3));
    let top = frames(u64::MAX - 2, u64::MAX);
    assert_eq!(top.whole_subsections::<Tiny>(), frames(u64::MAX - 3, u64::MAX));
    let below = frames(u64::MAX - 2, u64::MAX - 1);
    assert_eq!(below.whole_subsections::<Tiny>(), frames(u64::MAX - 3, u64::MAX - 1));
    // A range from the lowest frame on is grown at its end only.
    assert_eq!(frames(0, 1).whole_subsections::<X86_64>(), frames(0, 512));
    assert_eq!(frames(700, 1025).whole_subsections::<X86_64>(), frames(512, 1536));
}

#[test]
fn ranges_split_at_their_ends() {
    let range = frames(3, 9);
    assert_eq!(range.split_at(Pfn::new(3)), (frames(3, 3), range));
    assert_eq!(range.split_at(Pfn::new(9)), (range, frames(9, 9)));
    assert_eq!(range.split_at(Pfn::new(8)), (frames(3, 8), frames(8, 9)));
    assert_eq!(range.split_at(Pfn::new(0)), (frames(3, 3), range));
    assert_eq!(range.split_at(Pfn::new(99)), (range, frames(9, 9)));
}

#[test]
fn a_range_that_ends_at_a_section_border_has_no_empty_part() {
    let parts = |range: PfnRange| range.by_section::<Tiny>().map(|(_, part)| part).collect::<Vec<_>>();
    assert_eq!(parts(frames(0, 16)), [frames(0, 8), frames(8, 16)]);
    assert_eq!(parts(frames(9, 16)), [frames(9, 16)]);
    assert_eq!(parts(frames(9, 12)), [frames(9, 12)]);
}

#[test]
fn a_geometry_fits_together() {
    fn check<G: SectionShape>() {
        assert_eq!(G::SECTION_SIZE, G::PAGES_PER_SECTION * G::PAGE_SIZE, "{}", G::NAME);
        let blocks = u64::from(G::PAGEBLOCKS_PER_SECTION);
        assert_eq!(G::PAGES_PER_SECTION, G::PAGES_PER_PAGEBLOCK * blocks, "{}", G::NAME);
        assert_eq!(G::NR_SECTIONS_LEN as u64, G::NR_SECTIONS, "{}", G::NAME);
        assert_eq!(G::NR_ROOTS_LEN as u64, G::NR_ROOTS, "{}", G::NAME);
        assert!(G::SubsectionMap::LEN * 64 >= G::SUBSECTIONS_PER_SECTION as usize, "{}", G::NAME);
        let map = G::SubsectionMap::zeroed();
        assert_eq!(map.words().len(), G::SubsectionMap::LEN, "{}", G::NAME);
        assert!(map.words().iter().all(|word| word.load(Ordering::Relaxed) == 0), "{}", G::NAME);
    }
    check::<Tiny>();
    check::<X86_64>();
    check::<Arm64Page64K>();
    check::<Sparc64>();
    assert_eq!(
        (X86_64::PAGE_SIZE, X86_64::SECTION_SIZE, X86_64::PAGES_PER_PAGEBLOCK),
        (4096, 128 << 20, 512)
    );
}

#[test]
fn a_set_has_the_members_that_were_put_in() {
    let set = SubsectionBits::from_words([1 << 3, 0, 1 << 5 | 1]);
    let members: Vec<_> = (0..600).filter(|index| set.contains(SubsectionIdx::new(*index))).collect();
    assert_eq!((members, set.count()), (vec![3, 128, 133], 3));
    assert!(!set.is_empty() && SubsectionBits::EMPTY.is_empty());
    assert!(!SubsectionBits::from_words([0, 5, 5]).is_empty(), "words do not cancel each other");
    assert!(!SubsectionBits::from_words([0, 0, 0, 0, 0, 0, 0, 1]).is_empty());
}

#[test]
fn a_set_prints_its_words_up_to_the_highest_that_is_used() {
    assert_eq!(format!("{:?}", bits(0x1f)), "000000000000001f");
    assert_eq!(format!("{:?}", SubsectionBits::EMPTY), "0000000000000000");
    let wide = SubsectionBits::from_words([0xab, 0, 1]);
    assert_eq!(format!("{wide:?}"), format!("{:016x}{:016x}{:016x}", 1, 0, 0xab));
    assert_eq!(wide.hex::<Tiny>().to_string(), "00000000000000ab");
}
