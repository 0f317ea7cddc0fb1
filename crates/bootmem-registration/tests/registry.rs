//! Registering and releasing, with tags in a slice: counts, kinds, fates, and bad input for each operation.

use std::alloc::Layout;
use std::ptr::NonNull;

use proptest::prelude::*;
use sparsemem_bootmem_registration::{
    Disposition, Fate, Kind, PageRun, PageUse, Piece, PieceSlot, Purpose, RegisterError, Registry,
    ReleaseError, Released, SectionMetadata, SectionSlot, SliceTags, Storage, Tag, TagStore, TagStoreError,
    User,
};
use sparsemem_core::presets::TinyWide;
use sparsemem_core::{Block, NodeId, Origin, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr};

/// Pages of a section.
const SECTION: u64 = 64;
const NODE: NodeId = NodeId::new(0);

type Reg<'r> = Registry<'r, TinyWide, SliceTags<'r>>;

fn nr(section: u64) -> SectionNr {
    SectionNr::new(section)
}

/// `len` bytes from byte `offset` of a page on.
fn at(page: u64, offset: u64, len: u64) -> PhysRange {
    let start = (page << 12) + offset;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(start + len)).unwrap()
}

fn pages(first: u64, count: u64) -> PhysRange {
    at(first, 0, count << 12)
}

fn run(first: u64, count: u64, fate: Fate) -> PageRun {
    let pages = PfnRange::from_start_count(Pfn::new(first), PageCount::new(count)).unwrap();
    PageRun { pages, fate }
}

/// A block of boot at these bytes, which nobody touches.
fn block(bytes: PhysRange, origin: Origin) -> Block {
    let layout = Layout::from_size_align(usize::try_from(bytes.count().get()).unwrap(), 1).unwrap();
    // SAFETY: the registry looks at the numbers only, and the block is never given to a provider.
    unsafe { Block::from_parts(NonNull::dangling(), bytes.start(), layout, origin) }
}

/// A registry with sections 0 to 3, without metadata.
fn with<T>(ask: impl FnOnce(&mut Reg<'_>) -> T) -> T {
    let mut words = vec![0; 4096];
    let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 6], [PieceSlot::EMPTY; 12]);
    let storage = Storage { sections: &mut sections, pieces: &mut pieces };
    let mut registry = Registry::new(SliceTags::new(Pfn::new(0), &mut words), storage);
    for section in 0..4 {
        registry.register_section(nr(section), NODE, SectionMetadata::default()).unwrap();
    }
    ask(&mut registry)
}

/// Pieces, sections and tags.
type Snapshot = (Vec<Piece>, Vec<(SectionNr, NodeId)>, Vec<Option<Tag>>);

/// Everything that can be seen of a registry.
fn snapshot(registry: &Reg<'_>) -> Snapshot {
    let tags = (0..4096).map(|page| registry.tag(Pfn::new(page)).unwrap()).collect();
    (registry.pieces().copied().collect(), registry.sections().collect(), tags)
}

fn tag(registry: &Reg<'_>, page: u64) -> Option<(Kind, u64, u32)> {
    registry.tag(Pfn::new(page)).unwrap().map(|tag| (tag.kind(), tag.id(), tag.users()))
}

fn release(registry: &mut Reg<'_>, section: u64) -> (Vec<PageRun>, Released) {
    let mut runs = Vec::new();
    let released = registry.release_section(nr(section), &mut |run| runs.push(run)).unwrap();
    (runs, released)
}

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
            assert_eq!(tag(registry, page), Some((Kind::SectionInfo, 1, 1)));
        }
        assert_eq!(tag(registry, 20), Some((Kind::MixInfo, 3, 3)), "the highest section that uses it");
        assert_eq!(tag(registry, 31), Some((Kind::NodeInfo, 5, 1)));
        assert_eq!(registry.tag(Pfn::new(31)).unwrap().unwrap().user(), User::Node(NodeId::new(5)));
        // The memmaps of two sections on one page belong to neither alone.
        registry.get(Piece::memmap(nr(0), at(40, 0, 64))).unwrap();
        registry.get(Piece::memmap(nr(2), at(40, 64, 64))).unwrap();
        assert_eq!(tag(registry, 40), Some((Kind::MixInfo, 2, 2)));
        // What shares a page with a memmap makes it mixed, and no more when it goes.
        registry.get(Piece::usage(nr(0), at(12, 4095, 1))).unwrap();
        assert_eq!(tag(registry, 12), Some((Kind::MixInfo, 1, 2)));
        let _ = registry.put(User::Section(nr(0)), at(12, 4095, 1), &mut |_| {}).unwrap();
        assert_eq!(tag(registry, 12), Some((Kind::SectionInfo, 1, 1)));
        // The number of a user that goes does not stay behind.
        let _ = registry.put(User::Section(nr(3)), at(20, 40, 40), &mut |_| {}).unwrap();
        assert_eq!(tag(registry, 20), Some((Kind::MixInfo, 2, 2)));
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
        let free = |registry: &mut Reg<'_>, bytes| registry.disposition(&block(bytes, Origin::Boot)).unwrap();
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

/// A call that has to fail and change nothing.
fn refuse<E: std::fmt::Debug + PartialEq>(
    registry: &mut Reg<'_>,
    call: impl FnOnce(&mut Reg<'_>) -> Result<(), E>,
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
        let piece = |bytes| move |registry: &mut Reg<'_>| registry.get(Piece::usage(nr(1), bytes));
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
            move |registry: &mut Reg<'_>| {
                registry.release_section(nr(number), &mut |_| panic!("told")).map(|_| ())
            }
        };
        refuse(registry, section(7), ReleaseError::UnknownSection { section: nr(7) });
        let holds = |section, user, bytes| ReleaseError::HoldsMetadata { section: nr(section), user, bytes };
        refuse(registry, section(1), holds(1, User::Section(nr(0)), held));
        refuse(registry, section(2), holds(2, User::Node(NodeId::new(9)), pages(2 * SECTION, 1)));
        refuse(registry, section(0), holds(0, User::Node(NODE), pages(50, 1)));
        let node = |node| {
            move |registry: &mut Reg<'_>| {
                registry.release_node(NodeId::new(node), &mut |_| panic!("told")).map(|_| ())
            }
        };
        refuse(registry, node(0), ReleaseError::NodeHasSections { node: NODE, section: nr(0) });
        refuse(registry, node(3), ReleaseError::UnknownNode { node: NodeId::new(3) });
        for (user, bytes) in [(User::Section(nr(1)), held), (User::Section(nr(0)), at(SECTION, 0, 9))] {
            let put = |registry: &mut Reg<'_>| registry.put(user, bytes, &mut |_| panic!("told")).map(|_| ());
            refuse(registry, put, ReleaseError::UnknownPiece { bytes, user });
        }
        // A block that is only a part of what was registered.
        let part = block(at(SECTION, 0, 100), Origin::Boot);
        let release = |registry: &mut Reg<'_>| registry.disposition(&part).map(|_| ());
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
        assert_eq!(tag(registry, SECTION), Some((Kind::SectionInfo, 0, 1)));
    });
}

#[test]
fn a_store_behind_a_reference_is_a_store() {
    let mut words = [0; 2];
    let mut tags = SliceTags::new(Pfn::new(0), &mut words);
    let mut behind = &mut tags;
    let tag = Tag::new(Kind::MixInfo, 3, 2).unwrap();
    TagStore::store(&mut behind, Pfn::new(1), Some(tag)).unwrap();
    assert_eq!(TagStore::load(&behind, Pfn::new(1)), Ok(Some(tag)));
    assert!(TagStore::store(&mut behind, Pfn::new(2), None).is_err());
}

/// Blocks that the random sequences use: bytes, and who may use them.
fn blocks() -> Vec<PhysRange> {
    let small = (0..4).map(|index| at(SECTION + 3, 1000 * index, 1000));
    small
        .chain([pages(5, 2), pages(SECTION + 8, 3), at(2 * SECTION, 5, 4096), at(3 * SECTION - 1, 0, 8192)])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Tags are what the pieces say after every step, and every page is told free or leaving exactly when its last
    /// piece goes.
    #[test]
    fn tags_follow_from_pieces(
        steps in prop::collection::vec((any::<bool>(), 0u64..4, 0usize..8), 1..60),
    ) {
        let blocks = blocks();
        with(|registry| {
            let mut oracle = std::collections::BTreeSet::new();
            for (get, section, index) in steps {
                let bytes = blocks[index];
                let user = User::Section(nr(section));
                if get {
                    let new = oracle.len() < 12 && !oracle.contains(&(index, section));
                    let got = registry.get(Piece::usage(nr(section), bytes));
                    assert_eq!(got.is_ok(), new, "{got:?}");
                    oracle.extend(new.then_some((index, section)));
                } else {
                    let mut told = Vec::new();
                    let put = registry.put(user, bytes, &mut |run| told.push(run));
                    assert_eq!(put.is_ok(), oracle.remove(&(index, section)));
                    let judged: u64 = told.iter().map(|run| run.pages.count().get()).sum();
                    let touched = Piece::usage(nr(section), bytes).pages::<TinyWide>().count().get();
                    assert_eq!(judged, if put.is_ok() { touched } else { 0 }, "every page, once");
                    for run in told {
                        for page in run.pages.start().get()..run.pages.end().get() {
                            let left = users(&oracle, &blocks, page).len();
                            assert_eq!(run.fate == Fate::Shared, left > 0);
                            assert_eq!(run.fate == Fate::Leaves, left == 0 && page / SECTION == section);
                        }
                    }
                }
                for page in 0..4 * SECTION {
                    let users = users(&oracle, &blocks, page);
                    let expected = users.iter().max().map(|highest| {
                        (Kind::MixInfo, *highest, u32::try_from(users.len()).unwrap())
                    });
                    assert_eq!(tag(registry, page), expected);
                }
                assert!(registry.pieces().all(|piece| piece.purpose() == Purpose::Usage));
            }
        });
    }
}

/// Which sections use a page, once per piece.
fn users(oracle: &std::collections::BTreeSet<(usize, u64)>, blocks: &[PhysRange], page: u64) -> Vec<u64> {
    let page = pages(page, 1);
    oracle.iter().filter(|(index, _)| blocks[*index].overlaps(page)).map(|(_, section)| *section).collect()
}
