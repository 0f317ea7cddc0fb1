//! The texts that an operator reads when metadata is in the way: the user, the section and the bytes, each by its
//! number.

use sparsemem_bootmem_registration::{
    MetadataKind, PlanError, RegisterError, ReleaseError, Tag, TagError, TagStoreError, User,
};
use sparsemem_core::{NodeId, Pfn, PhysAddr, PhysRange, SectionNr};

fn bytes(start: u64, end: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
}

const SECTION: SectionNr = SectionNr::new(7);
const NODE: NodeId = NodeId::new(3);
const BY_SECTION: User = User::Section(SECTION);
const BY_NODE: User = User::Node(NODE);

#[test]
fn users_are_named_with_their_kind() {
    assert_eq!((BY_SECTION.to_string(), BY_NODE.to_string()), ("section 7".into(), "node 3".into()));
    assert!(BY_NODE < BY_SECTION, "nodes come first, whatever their number");
}

#[test]
fn a_refused_registration_names_both_users() {
    let (piece, other) = (bytes(0x1000, 0x2000), bytes(0x1800, 0x3000));
    let overlap = RegisterError::Overlap { bytes: piece, user: BY_SECTION, other, other_user: BY_NODE };
    assert_eq!(overlap.to_string(), format!("{piece} of section 7 overlaps {other} of node 3"));
    let known = RegisterError::PieceKnown { bytes: piece, user: BY_NODE };
    assert_eq!(known.to_string(), format!("{piece} of node 3 is registered already"));
    let empty = RegisterError::Empty { bytes: bytes(0x1000, 0x1000), user: BY_SECTION };
    assert_eq!(empty.to_string(), format!("a piece of section 7 at {} has no bytes", bytes(0x1000, 0x1000)));
    let beyond = RegisterError::BytesBeyondMaximum { bytes: piece, user: BY_NODE, last: Pfn::new(0x63) };
    let words = format!("{piece} of node 3 end beyond the last possible frame {}", Pfn::new(0x63));
    assert_eq!(beyond.to_string(), words);
    for (error, words) in [
        (
            RegisterError::BeyondMaximum { section: SECTION },
            "section 7 is beyond the last section of the geometry",
        ),
        (RegisterError::SectionKnown { section: SECTION }, "section 7 is registered already"),
        (RegisterError::UnknownSection { section: SECTION }, "section 7 is not registered"),
        (RegisterError::SectionsFull { capacity: 4 }, "no room for more than 4 sections; supply more slots"),
        (RegisterError::PiecesFull { capacity: 9 }, "no room for more than 9 pieces; supply more slots"),
    ] {
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn a_tag_in_the_way_is_shown_as_its_word() {
    let page = Pfn::new(0x20);
    let tag = Tag::new(MetadataKind::MixInfo, 2, 1).unwrap();
    assert_eq!(tag.word(), 0x200_001d);
    let foreign = RegisterError::ForeignTag { page, found: Some(tag), registered: None };
    let words = format!(
        "page {page} has the tag 0x200001d, and 0x0 is the tag of the pieces on it: its word is not the registry's \
         alone"
    );
    assert_eq!(foreign.to_string(), words);
    let not_a_tag = TagStoreError::NotATag { page, word: 0x1b };
    let words = format!("the word of page {page} holds 0x1b, which is not a tag");
    assert_eq!(not_a_tag.to_string(), words);
    assert_eq!(RegisterError::from(not_a_tag).to_string(), words);
    let why = TagError::Users { users: 0 };
    let words = format!("page {page}: a tag cannot count 0 users");
    assert_eq!(RegisterError::Tag { page, why }.to_string(), words);
    let large = TagError::IdTooLarge { id: 1 << 41 };
    assert_eq!(large.to_string(), "section or node number 2199023255552 does not fit a tag");
}

#[test]
fn who_has_to_go_first_is_named() {
    let at = bytes(0x4000, 0x6000);
    for user in [BY_SECTION, BY_NODE] {
        let holds = ReleaseError::HoldsMetadata { section: SectionNr::new(1), user, bytes: at };
        assert_eq!(
            holds.to_string(),
            format!("section 1 holds metadata of {user} at {at}; remove {user} first")
        );
        let partly = ReleaseError::PartlyInBlock { block: bytes(0, 0x5000), user, bytes: at };
        assert_eq!(
            partly.to_string(),
            format!(
                "only part of {at} of {user} lies in {}; register pieces as they were allocated",
                bytes(0, 0x5000)
            )
        );
        let unknown = ReleaseError::UnknownPiece { bytes: at, user };
        assert_eq!(unknown.to_string(), format!("{at} is not registered for {user}"));
    }
    for (error, words) in [
        (ReleaseError::UnknownSection { section: SECTION }, "section 7 is not registered"),
        (ReleaseError::UnknownNode { node: NODE }, "node 3 has no data registered"),
        (
            ReleaseError::NodeHasSections { node: NODE, section: SECTION },
            "node 3 still has section 7; its data is released with its last section",
        ),
    ] {
        assert_eq!(error.to_string(), words);
    }
    let few = PlanError::TooFewSlots { needed: 5, slots: 4, steps: 3 };
    assert_eq!(few.to_string(), "a plan over 5 sections needs that many slots and steps, not 4 and 3");
}
