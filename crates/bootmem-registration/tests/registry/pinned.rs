//! Frames that cannot leave, and frames that an allocator must not get.

use sparsemem_bootmem_registration::{PageUse, Piece, Pinned, User};
use sparsemem_core::{NodeId, PageCount, Pfn, PfnRange, PhysRange};

use crate::{Reg, SECTION, at, nr, of_nodes, pages};

/// A memory block of one section, and one of two.
const ONE: PageCount = PageCount::new(SECTION);
const TWO: PageCount = PageCount::new(2 * SECTION);

fn frames(first: u64, count: u64) -> PfnRange {
    PfnRange::from_start_count(Pfn::new(first), PageCount::new(count)).unwrap()
}

/// Eighths of pages, counted from address zero.
fn eighths(start: u64, end: u64) -> PhysRange {
    at(0, start << 9, (end - start) << 9)
}

/// A registry with sections 0 to 3, of which 0 and 1 are of node 0, 2 and 3 of node 1.
fn with(test: impl FnOnce(&mut Reg<'_, '_>)) {
    of_nodes([0, 0, 1, 1], test);
}

fn pinned(first: u64, count: u64, user: User) -> Option<Pinned> {
    Some(Pinned { pages: frames(first, count), user })
}

#[test]
fn others_pin_and_the_blocks_own_sections_do_not() {
    with(|registry| {
        let (next, other) = (User::Section(nr(1)), User::Section(nr(2)));
        registry.get(Piece::memmap(nr(0), pages(2, 4))).unwrap();
        registry.get(Piece::memmap(nr(1), pages(8, 4))).unwrap();
        registry.get(Piece::memmap(nr(2), pages(20, 4))).unwrap();
        let first = |range, block| registry.first_pinned(range, block);
        assert_eq!(first(frames(0, SECTION), ONE), pinned(8, 4, next));
        assert_eq!(
            first(frames(0, SECTION), PageCount::new(0)),
            pinned(8, 4, next),
            "a section is the least"
        );
        assert_eq!(
            first(frames(0, 2 * SECTION), ONE),
            pinned(8, 4, next),
            "section 0 may go without section 1"
        );
        assert_eq!(first(frames(0, 2 * SECTION), TWO), pinned(20, 4, other), "section 1 goes with section 0");
        assert_eq!(first(frames(10, 1), ONE), pinned(10, 1, next), "only what was asked about");
        assert_eq!(first(frames(10, 0), ONE), None);
        assert_eq!(first(frames(SECTION, SECTION), ONE), None, "section 1 holds nothing");
    });
}

#[test]
fn a_piece_over_a_border_pins_the_foreign_side() {
    with(|registry| {
        registry.get(Piece::memmap(nr(1), pages(SECTION - 2, 5))).unwrap();
        let user = User::Section(nr(1));
        assert_eq!(registry.first_pinned(frames(0, 4 * SECTION), ONE), pinned(SECTION - 2, 2, user));
        assert_eq!(registry.first_pinned(frames(SECTION, SECTION), ONE), None);
        registry.get(Piece::memmap(nr(0), pages(2 * SECTION - 2, 4))).unwrap();
        let user = User::Section(nr(0));
        assert_eq!(
            registry.first_pinned(frames(SECTION, 3 * SECTION), ONE),
            pinned(2 * SECTION - 2, 2, user)
        );
        assert_eq!(registry.first_pinned(frames(SECTION, 3 * SECTION), TWO), pinned(2 * SECTION, 2, user));
    });
}

#[test]
fn node_data_stays_with_the_last_section_outside() {
    with(|registry| {
        let data = pages(2 * SECTION + 1, 1);
        registry.register_node(NodeId::new(1), &[data]).unwrap();
        let (host, node) = (frames(2 * SECTION, SECTION), User::Node(NodeId::new(1)));
        assert_eq!(registry.first_pinned(host, ONE), pinned(2 * SECTION + 1, 1, node));
        assert_eq!(registry.first_pinned(host, TWO), None, "both sections of the node go");
        let _ = registry.release_section(nr(3), &mut |_| {}).unwrap();
        assert_eq!(registry.first_pinned(host, ONE), None);
        registry.register_node(NodeId::new(7), &[pages(2 * SECTION + 5, 1)]).unwrap();
        let nobody = User::Node(NodeId::new(7));
        assert_eq!(registry.first_pinned(host, ONE), pinned(2 * SECTION + 5, 1, nobody));
    });
}

#[test]
fn metadata_comes_in_runs_of_whole_pages() {
    with(|registry| {
        // Two usages on one page, a memmap right behind it, and another with a gap of a page.
        registry.get(Piece::usage(nr(0), eighths(16, 17))).unwrap();
        registry.get(Piece::usage(nr(1), eighths(19, 20))).unwrap();
        registry.get(Piece::memmap(nr(0), pages(3, 4))).unwrap();
        registry.get(Piece::memmap(nr(1), pages(8, 4))).unwrap();
        let next = |first: u64, count| registry.next_metadata(frames(first, count));
        assert_eq!(next(0, SECTION), Some(frames(2, 5)));
        assert_eq!(next(7, SECTION), Some(frames(8, 4)));
        assert_eq!(next(4, 2), Some(frames(4, 2)), "cut to what was asked about");
        assert_eq!((next(7, 1), next(12, SECTION), next(4, 0)), (None, None, None));
    });
}

/// Against every page asked by itself, where blocks are sections.
#[test]
fn runs_agree_with_single_pages() {
    with(|registry| {
        registry.get(Piece::usage(nr(0), eighths(11, 13))).unwrap();
        registry.get(Piece::usage(nr(3), eighths(14, 15))).unwrap();
        registry.get(Piece::memmap(nr(1), pages(SECTION - 1, 2))).unwrap();
        registry.register_node(NodeId::new(0), &[eighths(16 * SECTION - 4, 16 * SECTION + 4)]).unwrap();
        for page in (0..4 * SECTION).map(Pfn::new) {
            let one = frames(page.get(), 1);
            let in_use = matches!(registry.page_use(page), PageUse::InUse(_));
            assert_eq!(registry.first_pinned(one, ONE).is_some(), in_use, "{page}");
            let known = registry.page_use(page) != PageUse::NotRegistered;
            assert_eq!(registry.next_metadata(one), known.then_some(one), "{page}");
        }
    });
}
