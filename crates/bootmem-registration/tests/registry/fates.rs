//! The fates of pages: their kinds, their users, and whether they are freed, shared, or leave with their section.

use sparsemem_bootmem_registration::{
    Disposition, Fate, MetadataKind, PageUse, Piece, ReleaseError, Released, SectionMetadata, User,
};
use sparsemem_core::{NodeId, Origin, Pfn};

use crate::{Reg, SECTION, at, block, nr, pages, release, run, tag, with};

#[test]
fn kinds_follow_from_what_lies_on_a_page() {
    with(|registry| {
        registry.get(Piece::memmap(nr(1), at(10, 0, 3 * 4096 - 1))).unwrap();
        registry.get(Piece::usage(nr(1), at(20, 0, 40))).unwrap();
        registry.get(Piece::usage(nr(3), at(20, 40, 40))).unwrap();
        registry.get(Piece::usage(nr(2), at(20, 80, 40))).unwrap();
        registry.register_node(NodeId::new(5), &[pages(30, 2)]).unwrap();
        assert_eq!(tag(registry, 9), None);
        for page in 10..13 {
            assert_eq!(tag(registry, page), Some((MetadataKind::SectionInfo, 1, 1)));
        }
        assert_eq!(
            tag(registry, 20),
            Some((MetadataKind::MixInfo, 3, 3)),
            "the highest section that uses it"
        );
        assert_eq!(tag(registry, 31), Some((MetadataKind::NodeInfo, 5, 1)));
        assert_eq!(registry.tag(Pfn::new(31)).unwrap().unwrap().user(), User::Node(NodeId::new(5)));
        // The memmaps of two sections on one page belong to neither alone.
        registry.get(Piece::memmap(nr(0), at(40, 0, 64))).unwrap();
        registry.get(Piece::memmap(nr(2), at(40, 64, 64))).unwrap();
        assert_eq!(tag(registry, 40), Some((MetadataKind::MixInfo, 2, 2)));
        // What shares a page with a memmap makes it mixed, and no more when it goes.
        registry.get(Piece::usage(nr(0), at(12, 4095, 1))).unwrap();
        assert_eq!(tag(registry, 12), Some((MetadataKind::MixInfo, 1, 2)));
        let _ = registry.put(User::Section(nr(0)), at(12, 4095, 1), &mut |_| {}).unwrap();
        assert_eq!(tag(registry, 12), Some((MetadataKind::SectionInfo, 1, 1)));
        // The number of a user that goes does not stay behind.
        let _ = registry.put(User::Section(nr(3)), at(20, 40, 40), &mut |_| {}).unwrap();
        assert_eq!(tag(registry, 20), Some((MetadataKind::MixInfo, 2, 2)));
    });
}

#[test]
fn memmap_elsewhere_is_freed_and_own_memmap_leaves() {
    with(|registry| {
        // Section 2: four pages in section 3, across the border to section 2 itself.
        registry.get(Piece::memmap(nr(1), pages(3 * SECTION, 4))).unwrap();
        registry.get(Piece::memmap(nr(2), pages(3 * SECTION - 2, 2))).unwrap();
        registry.get(Piece::usage(nr(2), at(3 * SECTION + 9, 0, 8))).unwrap();
        let (runs, released) = release(registry, 1);
        assert_eq!(runs, [run(3 * SECTION, 4, Fate::Free)]);
        assert_eq!((released.free.get(), released.leaves.get()), (4, 0));
        let (runs, _) = release(registry, 2);
        assert_eq!(runs, [run(3 * SECTION - 2, 2, Fate::Leaves), run(3 * SECTION + 9, 1, Fate::Free)]);
        assert!((0..4096).all(|page| tag(registry, page).is_none()));
    });
}

#[test]
fn a_block_across_the_border_of_its_section_is_split() {
    with(|registry| {
        let bytes = pages(2 * SECTION - 3, 8);
        registry.get(Piece::memmap(nr(1), bytes)).unwrap();
        let mut runs = Vec::new();
        let decision =
            registry.release_block(&block(bytes, Origin::Boot), &mut |run| runs.push(run)).unwrap();
        assert_eq!(runs, [run(2 * SECTION - 3, 3, Fate::Leaves), run(2 * SECTION, 5, Fate::Free)]);
        let Disposition::Mixed(released) = decision else { panic!("{decision:?}") };
        assert_eq!((released.free.get(), released.leaves.get(), released.shared.get()), (5, 3, 0));
    });
}

/// A table that its own section and others need leaves with that section, which is the last of them.
#[test]
fn a_shared_block_leaves_with_the_section_that_it_lies_in() {
    with(|registry| {
        let table = pages(SECTION + 5, 1);
        // Not in the order of their numbers: the registry sorts users of one block.
        for section in [2, 0, 1] {
            registry.get(Piece::table(nr(section), table)).unwrap();
        }
        let users: Vec<_> = registry.pieces().map(Piece::user).collect();
        assert_eq!(users, [0, 1, 2].map(|section| User::Section(nr(section))));
        let mut runs = Vec::new();
        let decision = registry.release_block(&block(table, Origin::Boot), &mut |run| runs.push(run));
        assert_eq!(decision, Ok(Disposition::Leaves));
        assert_eq!(runs, [run(SECTION + 5, 1, Fate::Leaves)]);
        assert_eq!((registry.pieces().count(), tag(registry, SECTION + 5)), (0, None));
    });
}

#[test]
fn shared_pages_are_freed_with_their_last_user() {
    with(|registry| {
        let usage = |index| at(3 * SECTION, 100 * index, 100);
        for section in 0..3 {
            registry.get(Piece::usage(nr(section), usage(section))).unwrap();
        }
        // A table that all of them need.
        for section in 0..3 {
            registry.get(Piece::table(nr(section), pages(3 * SECTION + 1, 1))).unwrap();
        }
        let free =
            |registry: &mut Reg<'_, '_>, bytes| registry.disposition(&block(bytes, Origin::Boot)).unwrap();
        assert_eq!(free(registry, usage(1)), Disposition::Shared);
        assert_eq!(release(registry, 1).0, [run(3 * SECTION + 1, 1, Fate::Shared)]);
        assert_eq!(free(registry, usage(0)), Disposition::Shared);
        assert_eq!(free(registry, usage(2)), Disposition::Free);
        assert_eq!(release(registry, 0).0, [run(3 * SECTION + 1, 1, Fate::Shared)]);
        assert_eq!(free(registry, pages(3 * SECTION + 1, 1)), Disposition::Free);
        assert_eq!(release(registry, 2), (vec![], Released::default()));
        assert_eq!(registry.pieces().count(), 0);
    });
}

#[test]
fn node_data_goes_with_the_last_section_of_its_node() {
    with(|registry| {
        let (node, elsewhere) = (NodeId::new(4), 3 * SECTION);
        registry.register_section(nr(8), node, SectionMetadata::default()).unwrap();
        registry.register_section(nr(9), node, SectionMetadata::default()).unwrap();
        registry.register_node(node, &[pages(elsewhere, 2), pages(9 * SECTION, 1)]).unwrap();
        assert_eq!(registry.page_use(Pfn::new(9 * SECTION)), PageUse::InUse(User::Node(node)));
        let blocked = registry.check_removable(nr(9)).unwrap_err();
        assert!(matches!(blocked, ReleaseError::HoldsMetadata { user: User::Node(of), .. } if of == node));
        assert_eq!(release(registry, 8), (vec![], Released::default()));
        assert_eq!(registry.page_use(Pfn::new(9 * SECTION)), PageUse::Own, "nobody else is left of the node");
        let (runs, _) = release(registry, 9);
        assert_eq!(runs, [run(elsewhere, 2, Fate::Free), run(9 * SECTION, 1, Fate::Leaves)]);
        assert_eq!(tag(registry, elsewhere), None);
    });
}

/// A page is judged once per call, when the last piece that goes is gone.
#[test]
fn a_page_of_section_and_node_is_told_once() {
    with(|registry| {
        let node = NodeId::new(4);
        registry.register_section(nr(8), node, SectionMetadata::default()).unwrap();
        let page = 3 * SECTION;
        registry.get(Piece::usage(nr(8), at(page, 0, 64))).unwrap();
        registry.get(Piece::table(nr(8), at(page, 64, 64))).unwrap();
        registry.register_node(node, &[at(page, 1024, 512)]).unwrap();
        // One of several pieces goes: the page is told, and stays.
        let mut told = Vec::new();
        let put = registry.put(User::Section(nr(8)), at(page, 64, 64), &mut |run| told.push(run)).unwrap();
        assert_eq!((told, put.shared.get()), (vec![run(page, 1, Fate::Shared)], 1));
        let (runs, released) = release(registry, 8);
        assert_eq!(runs, [run(page, 1, Fate::Free)]);
        assert_eq!((released.free.get(), released.shared.get()), (1, 0));
    });
}

#[test]
fn offlining_tells_own_pages_from_pages_in_use() {
    with(|registry| {
        registry.get(Piece::memmap(nr(1), at(SECTION + 2, 0, 4096 + 10))).unwrap();
        registry.get(Piece::memmap(nr(1), at(SECTION + 3, 2048, 4096))).unwrap();
        registry.get(Piece::memmap(nr(1), pages(5, 2))).unwrap();
        registry.get(Piece::memmap(nr(2), pages(SECTION + 20, 1))).unwrap();
        registry.get(Piece::usage(nr(1), at(SECTION + 21, 0, 8))).unwrap();
        let own: Vec<_> = registry.own_memmap_pages(nr(1)).map(Pfn::get).collect();
        assert_eq!(own, [SECTION + 2, SECTION + 3, SECTION + 4]);
        assert_eq!(registry.own_memmap_pages(nr(u64::MAX)).count(), 0);
        let uses = |page| registry.page_use(Pfn::new(page));
        assert_eq!((uses(SECTION + 3), uses(SECTION + 21)), (PageUse::Own, PageUse::Own));
        assert_eq!(uses(SECTION + 20), PageUse::InUse(User::Section(nr(2))));
        assert_eq!(uses(5), PageUse::InUse(User::Section(nr(1))));
        assert_eq!((uses(SECTION), uses(u64::MAX)), (PageUse::NotRegistered, PageUse::NotRegistered));
    });
}
