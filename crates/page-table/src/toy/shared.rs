//! Pages that several leaves share: mapped by any plan, undone as everything else, and given back by nobody here.

use std::vec::Vec;

use sparsemem_core::{ByteLen, LeafSize, LostBlocks, NodeId, PagingDepth, PhysAddr, VirtAddr, VirtRange};

use super::{Heap, Toy, high_end};
use crate::{Choice, Fate, Mapping, Plan, PopulateError, Populated, Small, Unmapped, Walk, Wanted};

const DEPTH: PagingDepth = PagingDepth::Three;
const SHARED: PhysAddr = PhysAddr::new(0x7000_0000);
/// One page of its own, and seven that lead to the shared one.
const GROUP: u64 = 8;

/// Pages of 4 KiB from the start of the upper half.
fn pages(first: u64, count: u64) -> VirtRange {
    VirtRange::from_start_count(VirtAddr::new(high_end(DEPTH) + first * 4096), ByteLen::new(count * 4096))
        .unwrap()
}

/// Each group has a page of its own, and shares the others.
struct Folded(PhysAddr);

// SAFETY: no memory is behind the addresses of this heap's tables, so nobody reads or writes a page.
unsafe impl Plan for Folded {
    fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
        Choice::Smaller
    }

    fn small(&mut self, slot: VirtRange) -> Small {
        let page = (slot.start().get() - high_end(DEPTH)) / 4096;
        if page.is_multiple_of(GROUP) { Small::New } else { Small::Shared(self.0) }
    }

    fn accepts(&self, _: &Mapping) -> bool {
        false
    }
}

fn fold(heap: &mut Heap, range: VirtRange, page: PhysAddr) -> Result<Populated, PopulateError> {
    let mut lost = LostBlocks::default();
    let made = heap.tree().populate_as(heap, NodeId::new(0), range, &mut Folded(page), &mut lost);
    assert!(lost.is_empty());
    made
}

fn unmap(heap: &mut Heap, range: VirtRange) -> Unmapped {
    heap.tree().unmap(heap, range, |_| Fate::Drop, &mut LostBlocks::default()).unwrap()
}

#[test]
fn a_shared_page_is_mapped_many_times_and_stays() {
    let mut heap = Heap::new(DEPTH);
    let before = heap.entries();
    let made = fold(&mut heap, pages(0, 2 * GROUP), SHARED).unwrap();
    assert_eq!((made.leaves().total(), made.shared(), made.is_all_new()), (2, 14, true));
    let listed: Vec<_> = heap.tree().mappings(&heap, pages(0, GROUP)).collect();
    assert!(listed[0].origin.is_some() && listed[0].phys != SHARED);
    assert!(listed[1..].iter().all(|leaf| (leaf.phys, leaf.origin) == (SHARED, None)));
    assert_eq!(heap.out().1, 2, "only the pages of the groups are blocks");
    // A part goes, with leaves that lead to the shared page and one that does not.
    let gone = unmap(&mut heap, pages(GROUP - 2, 3));
    assert_eq!((gone.dropped().total(), gone.shared()), (1, 2));
    assert_eq!(heap.flushed.last(), Some(&pages(GROUP - 2, 3)), "shared leaves are flushed as well");
    let gone = unmap(&mut heap, pages(0, 2 * GROUP));
    assert_eq!((gone.dropped().total(), gone.shared()), (1, 12));
    assert_eq!((heap.entries(), heap.out()), (before, (1, 0)));
}

#[test]
fn whatever_fails_leaves_no_shared_leaf() {
    for left in 0.. {
        let mut heap = Heap::new(DEPTH);
        let _ = heap.tree().populate(
            &mut heap,
            NodeId::new(0),
            pages(1000, 1),
            |_, _| Choice::Smaller,
            &mut LostBlocks::default(),
        );
        let (before, out) = (heap.entries(), heap.out());
        heap.left = left;
        // It begins in one table and ends in the next, and in between nothing is allocated for a group's tail.
        if fold(&mut heap, pages(256 - GROUP, 2 * GROUP), SHARED).is_ok() {
            assert_eq!(left, 4, "two pages and two tables");
            break;
        }
        assert_eq!((heap.entries(), heap.out()), (before, out), "{left} blocks");
    }
}

#[test]
fn a_plan_refuses_what_is_there() {
    let mut heap = Heap::new(DEPTH);
    let _ = fold(&mut heap, pages(0, GROUP), SHARED).unwrap();
    let before = heap.entries();
    // A second fold over a part of the first, after pages that were empty.
    let again = fold(&mut heap, pages(0, 2 * GROUP), SHARED);
    assert_eq!(again, Err(PopulateError::Mapped { at: pages(0, 1).start() }));
    // Whoever wants memory of its own does not get a page that it cannot write to.
    let (tree, mut lost) = (heap.tree(), LostBlocks::default());
    let own =
        tree.populate(&mut heap, NodeId::new(0), pages(GROUP - 1, GROUP), |_, _| Choice::Smaller, &mut lost);
    assert_eq!(own, Err(PopulateError::Mapped { at: pages(GROUP - 1, 1).start() }));
    assert_eq!(heap.entries(), before);
    let Walk::Leaf(leaf) = tree.walk(&heap, pages(1, 1).start()) else { panic!("it is mapped") };
    assert_eq!((leaf.phys, leaf.origin), (SHARED, None));
}

#[test]
fn a_shared_page_has_to_fit_an_entry() {
    let mut heap = Heap::new(DEPTH);
    let before = heap.entries();
    let what = Wanted::Leaf(LeafSize::Size4KiB);
    let at = pages(1, 1).start();
    let odd = PhysAddr::new(SHARED.get() + 0x800);
    let found = fold(&mut heap, pages(0, GROUP), odd);
    assert_eq!(found, Err(PopulateError::Misaligned { at, phys: odd, what }));
    let far = PhysAddr::new(1 << 40);
    assert!(!<Toy as crate::EntryFormat>::holds(far));
    let found = fold(&mut heap, pages(0, GROUP), far);
    assert_eq!(found, Err(PopulateError::OutOfReach { at, phys: far, what }));
    assert_eq!((heap.entries(), heap.out()), (before, (1, 0)));
}
