//! The result of a populate: whether the memory is new, its origin, and how much of it there is.

use sparsemem_core::{ByteLen, LeafSize, LostBlocks, NodeId, Origin, PagingDepth, VirtAddr, VirtRange};

use super::{Heap, high_end, large};
use crate::{Choice, Fate, Populated};

const ORIGINS: [Origin; 3] = [Origin::Boot, Origin::Runtime, Origin::Altmap];
const DEPTH: PagingDepth = PagingDepth::Three;

/// Pages of 4 KiB from the start of the upper half.
fn pages(first: u64, count: u64) -> VirtRange {
    VirtRange::from_start_count(VirtAddr::new(high_end(DEPTH) + first * 4096), ByteLen::new(count * 4096))
        .unwrap()
}

/// Populates with the smallest leaves.
fn populate(heap: &mut Heap, range: VirtRange) -> Populated {
    let tree = heap.tree();
    let small = |_, _| Choice::Smaller;
    tree.populate(heap, NodeId::new(0), range, small, &mut LostBlocks::default()).unwrap()
}

/// The caller zeroes memory that may have been used before, and no other.
#[test]
fn memory_is_new_where_no_leaf_was_there_before() {
    let mut heap = Heap::new(DEPTH);
    assert!(populate(&mut heap, pages(0, 4)).is_all_new());
    assert!(populate(&mut heap, pages(4, 2)).is_all_new(), "tables may be old");
    for (first, count) in [(5, 2), (0, 1), (6, 2), (0, 9)] {
        assert!(!populate(&mut heap, pages(first, count)).is_all_new(), "{count} pages from {first}");
    }
    assert!(populate(&mut heap, pages(9, 1)).is_all_new());
}

/// Code that removes the memory of an altmap has to know which descriptors lie in it.
#[test]
fn a_populate_reports_the_origins_of_its_leaves() {
    for origin in ORIGINS {
        let mut heap = Heap::new(DEPTH);
        heap.leaf_origin = origin;
        let made = populate(&mut heap, pages(0, 3));
        // Tables are from another origin, and do not count.
        assert_eq!(ORIGINS.map(|other| made.has_leaf_from(other)), ORIGINS.map(|other| other == origin));
        let again = populate(&mut heap, pages(0, 3));
        assert!(again.is_nothing(), "leaves that were found are reported as well");
        assert_eq!(ORIGINS.map(|other| again.has_leaf_from(other)), ORIGINS.map(|other| other == origin));
    }
}

#[test]
fn a_populate_tells_of_every_origin() {
    let mut heap = Heap::new(DEPTH);
    let (tree, mut asked) = (heap.tree(), 0);
    heap.leaf_origin = Origin::Runtime;
    let _ = populate(&mut heap, pages(0, 1));
    heap.leaf_origin = Origin::Boot;
    // A large leaf, and small ones where one is there already.
    let policy = |_, _| {
        asked += 1;
        Choice::Place
    };
    let made = tree.populate(&mut heap, NodeId::new(0), pages(0, 512), policy, &mut LostBlocks::default());
    let made = made.unwrap();
    assert_eq!((asked, made.leaves().of(large()), made.leaves().total()), (1, 1, 256));
    assert_eq!(ORIGINS.map(|origin| made.has_leaf_from(origin)), [true, true, false]);
    assert!(!made.is_all_new() && !made.is_nothing());
}

#[test]
fn what_was_made_is_what_an_unmap_takes() {
    let mut heap = Heap::new(DEPTH);
    let made = populate(&mut heap, pages(254, 4));
    assert_eq!((made.leaves().of(LeafSize::Size4KiB), made.leaves().bytes()), (4, 4 * 4096));
    assert_eq!((made.nr_tables(), made.is_nothing()), (3, false));
    let (tree, mut lost) = (heap.tree(), LostBlocks::default());
    let keep_first = |leaf: &crate::Mapping| match leaf.range == pages(254, 1) {
        true => Fate::Keep,
        false => Fate::Drop,
    };
    let gone = tree.unmap(&mut heap, pages(0, 512), keep_first, &mut lost).unwrap();
    assert_eq!((gone.dropped().total(), gone.kept().total(), gone.nr_tables()), (3, 1, 1));
    let gone = tree.unmap(&mut heap, pages(254, 1), |_| Fate::Drop, &mut lost).unwrap();
    assert_eq!((gone.dropped().total(), gone.kept().total(), gone.nr_tables()), (1, 0, 2));
    assert_eq!((heap.out(), lost.count()), ((1, 0), 0));
}
