//! What cannot be registered or released is refused, by name, and changes nothing.

use sparsemem_bootmem_registration::{
    Disposition, MetadataKind, Piece, PieceSlot, RegisterError, ReleaseError, SectionMetadata, SectionSlot,
    SliceTags, Storage, TagStoreError, User,
};
use sparsemem_core::presets::TinyWide;
use sparsemem_core::{NodeId, Origin, Pfn, SectionNr};

use crate::{NODE, Reg, SECTION, at, block, nr, pages, snapshot, tag, with};

/// A call that has to fail and change nothing.
fn refuse<E: std::fmt::Debug + PartialEq>(
    registry: &mut Reg<'_, '_>,
    call: impl FnOnce(&mut Reg<'_, '_>) -> Result<(), E>,
    why: E,
) {
    let before = snapshot(registry);
    assert_eq!(call(registry), Err(why));
    assert_eq!(snapshot(registry), before);
}

#[test]
fn registrations_that_cannot_be_are_refused() {
    with(|registry| {
        let none = SectionMetadata::default();
        let first = at(10, 0, 100);
        registry.get(Piece::memmap(nr(1), first)).unwrap();
        let user = User::Section(nr(1));
        let piece = |bytes| move |registry: &mut Reg<'_, '_>| registry.get(Piece::usage(nr(1), bytes));
        let section = TinyWide::sections();
        let beyond = RegisterError::BeyondMaximum { section };
        refuse(registry, |registry| registry.register_section(section, NODE, none), beyond);
        let known = RegisterError::SectionKnown { section: nr(3) };
        refuse(registry, |registry| registry.register_section(nr(3), NODE, none), known);
        let unknown = RegisterError::UnknownSection { section: nr(7) };
        refuse(registry, |registry| registry.get(Piece::table(nr(7), pages(1, 1))), unknown);
        refuse(registry, piece(at(3, 9, 0)), RegisterError::Empty { bytes: at(3, 9, 0), user });
        let (top, far) = (at(64 * SECTION - 1, 4095, 1), at(64 * SECTION - 1, 4095, 2));
        registry.get(Piece::usage(nr(1), top)).unwrap();
        let last = Pfn::new(64 * SECTION - 1);
        refuse(registry, piece(far), RegisterError::BytesBeyondMaximum { bytes: far, user, last });
        refuse(registry, piece(first), RegisterError::PieceKnown { bytes: first, user });
        for bytes in [at(10, 99, 5), at(10, 0, 99), at(9, 0, 4097), at(9, 0, 3 * 4096)] {
            let overlap = RegisterError::Overlap { bytes, user, other: first, other_user: user };
            refuse(registry, piece(bytes), overlap);
        }
        // All pieces of a call or none: the third is bad.
        let good = [pages(40, 1), pages(41, 1), at(10, 50, 1)];
        let overlap = RegisterError::Overlap {
            bytes: good[2],
            user: User::Section(nr(20)),
            other: first,
            other_user: user,
        };
        let metadata = SectionMetadata { memmap: &good, ..none };
        refuse(registry, |registry| registry.register_section(nr(20), NODE, metadata), overlap);
    });
}

/// The number of the first section that a geometry does not have.
trait Sections {
    fn sections() -> SectionNr;
}

impl Sections for TinyWide {
    fn sections() -> SectionNr {
        SectionNr::new(<Self as sparsemem_core::SectionShape>::NR_SECTIONS)
    }
}

#[test]
fn full_storage_is_refused() {
    with(|registry| {
        let none = SectionMetadata::default();
        for page in 0..11 {
            registry.get(Piece::usage(nr(0), pages(page, 1))).unwrap();
        }
        let two = [pages(20, 1), pages(21, 1)];
        let full = RegisterError::PiecesFull { capacity: 12 };
        refuse(registry, |registry| registry.register_node(NODE, &two), full);
        registry.register_section(nr(4), NODE, none).unwrap();
        registry.register_section(nr(5), NODE, none).unwrap();
        let full = RegisterError::SectionsFull { capacity: 6 };
        refuse(registry, |registry| registry.register_section(nr(6), NODE, none), full);
    });
}

#[test]
fn pages_without_a_word_and_words_of_others_are_refused() {
    let mut words = [0, 0x77, 0, 0];
    let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 2], [PieceSlot::EMPTY; 4]);
    let storage = Storage { sections: &mut sections, pieces: &mut pieces };
    let mut registry = Reg::new(SliceTags::new(Pfn::new(100), &mut words), storage);
    registry.register_section(nr(1), NODE, SectionMetadata::default()).unwrap();
    let mut get = |bytes| registry.get(Piece::memmap(nr(1), bytes)).unwrap_err();
    let not_a_tag = TagStoreError::NotATag { page: Pfn::new(101), word: 0x77 };
    assert_eq!(get(pages(100, 2)), RegisterError::Store(not_a_tag));
    assert_eq!(get(pages(102, 3)), RegisterError::Store(TagStoreError::NoPlace { page: Pfn::new(104) }));
    assert_eq!(get(pages(99, 1)), RegisterError::Store(TagStoreError::NoPlace { page: Pfn::new(99) }));
    assert_eq!(registry.pieces().count(), 0);
    assert_eq!(words, [0, 0x77, 0, 0]);
}

#[test]
fn releases_that_cannot_be_are_refused() {
    with(|registry| {
        let held = pages(SECTION, 1);
        registry.get(Piece::memmap(nr(0), held)).unwrap();
        registry.register_node(NodeId::new(9), &[pages(2 * SECTION, 1)]).unwrap();
        registry.register_node(NODE, &[pages(50, 1)]).unwrap();
        let section = |number| {
            move |registry: &mut Reg<'_, '_>| {
                registry.release_section(nr(number), &mut |_| panic!("told")).map(|_| ())
            }
        };
        refuse(registry, section(7), ReleaseError::UnknownSection { section: nr(7) });
        let holds = |section, user, bytes| ReleaseError::HoldsMetadata { section: nr(section), user, bytes };
        refuse(registry, section(1), holds(1, User::Section(nr(0)), held));
        refuse(registry, section(2), holds(2, User::Node(NodeId::new(9)), pages(2 * SECTION, 1)));
        refuse(registry, section(0), holds(0, User::Node(NODE), pages(50, 1)));
        let node = |node| {
            move |registry: &mut Reg<'_, '_>| {
                registry.release_node(NodeId::new(node), &mut |_| panic!("told")).map(|_| ())
            }
        };
        refuse(registry, node(0), ReleaseError::NodeHasSections { node: NODE, section: nr(0) });
        refuse(registry, node(3), ReleaseError::UnknownNode { node: NodeId::new(3) });
        for (user, bytes) in [(User::Section(nr(1)), held), (User::Section(nr(0)), at(SECTION, 0, 9))] {
            let put =
                |registry: &mut Reg<'_, '_>| registry.put(user, bytes, &mut |_| panic!("told")).map(|_| ());
            refuse(registry, put, ReleaseError::UnknownPiece { bytes, user });
        }
        // A block that is only a part of what was registered.
        let part = block(at(SECTION, 0, 100), Origin::Boot);
        let release = |registry: &mut Reg<'_, '_>| registry.disposition(&part).map(|_| ());
        let user = User::Section(nr(0));
        refuse(
            registry,
            release,
            ReleaseError::PartlyInBlock { block: at(SECTION, 0, 100), user, bytes: held },
        );
        // Blocks that are none of the registry's business.
        for other in
            [block(held, Origin::Runtime), block(held, Origin::Altmap), block(pages(9, 1), Origin::Boot)]
        {
            assert_eq!(registry.disposition(&other), Ok(Disposition::NotRegistered));
        }
        assert_eq!(tag(registry, SECTION), Some((MetadataKind::SectionInfo, 0, 1)));
    });
}
