//! Leaves that take the places of others: all at once, after everything was allocated, and freed after a flush.

use std::vec::Vec;

use sparsemem_core::{
    ByteLen, LeafSize, LostBlocks, NodeId, Origin, PagingDepth, PhysAddr, VirtAddr, VirtRange,
};

use super::{Heap, Toy, high_end, large};
use crate::{Choice, Mapping, Plan, PopulateError, Small, Staging, Walk};

const DEPTHS: [PagingDepth; 2] = [PagingDepth::Three, PagingDepth::Four];
const SHARED: PhysAddr = PhysAddr::new(0x7000_0000);
const NODE: NodeId = NodeId::new(0);
/// Pages that a large leaf has.
const LARGE: u64 = 256;

fn pages(depth: PagingDepth, first: u64, count: u64) -> VirtRange {
    VirtRange::from_start_count(VirtAddr::new(high_end(depth) + first * 4096), ByteLen::new(count * 4096))
        .unwrap()
}

/// One page of memory, or the shared one.
struct One(Small);

// SAFETY: no memory is behind the addresses of this heap's tables, so nobody reads or writes a page.
unsafe impl Plan for One {
    fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
        Choice::Smaller
    }

    fn small(&mut self, _: VirtRange) -> Small {
        self.0
    }
}

/// A heap with leaves of a size for the first pages.
fn mapped(depth: PagingDepth, choice: Choice, count: u64) -> Heap {
    let mut heap = Heap::new(depth);
    let tree = heap.tree();
    let made =
        tree.populate(&mut heap, NODE, pages(depth, 0, count), |_, _| choice, &mut LostBlocks::default());
    let _ = made.unwrap();
    heap.flushed.clear();
    heap
}

/// Stages a new page for every fourth, and the shared one for the others.
fn stage(heap: &mut Heap, depth: PagingDepth, first: u64, count: u64) -> Result<Staging<Toy>, PopulateError> {
    let (tree, mut lost) = (heap.tree(), LostBlocks::default());
    let what = crate::Wanted::Table(tree.root_level());
    let mut staging = tree.stage(heap, NODE).map_err(|error| match error {
        crate::StageError::OutOfMemory(error) => {
            PopulateError::OutOfMemory { at: VirtAddr::new(0), what, error }
        }
        crate::StageError::InUse => unreachable!(),
    })?;
    for page in first..first + count {
        let small = if page % 4 == 0 { Small::New } else { Small::Shared(SHARED) };
        if let Err(error) = staging.put(heap, NODE, pages(depth, page, 1), &mut One(small), &mut lost) {
            staging.discard(heap, pages(depth, first, count), |_| (), &mut lost);
            assert!(lost.is_empty());
            return Err(error);
        }
    }
    Ok(staging)
}

fn leaves(heap: &Heap, range: VirtRange) -> Vec<Mapping> {
    heap.tree().mappings(heap, range).collect()
}

#[test]
fn small_leaves_change_one_by_one_and_others_stay() {
    for depth in DEPTHS {
        let mut heap = mapped(depth, Choice::Smaller, 64);
        let (before, out) = (leaves(&heap, pages(depth, 0, 64)), heap.out());
        let staging = stage(&mut heap, depth, 8, 40).unwrap();
        let (tree, mut old) = (heap.tree(), Vec::new());
        assert_eq!(leaves(&heap, pages(depth, 0, 64)), before, "nothing changes before the exchange");
        assert!(staging.leaf(&heap, pages(depth, 8, 1).start()).unwrap().phys != before[8].phys);
        let gone = |leaf: &Mapping| old.push(*leaf);
        let done = staging.exchange(&tree, &mut heap, pages(depth, 0, 64), gone, &mut LostBlocks::default());
        assert_eq!(
            (done.dropped().total(), done.made().leaves().total(), done.made().shared()),
            (40, 10, 30)
        );
        assert_eq!((done.nr_tables(), old.as_slice()), (0, &before[8..48]));
        let after = leaves(&heap, pages(depth, 0, 64));
        assert!(after[..8] == before[..8] && after[48..] == before[48..]);
        assert!(after[8..48].iter().all(|leaf| (leaf.phys == SHARED) == leaf.origin.is_none()));
        assert_eq!(heap.out(), (out.0, out.1 - 30), "no table of the staging is left");
        assert_eq!(heap.flushed, [pages(depth, 8, 32), pages(depth, 40, 8)], "in batches");
    }
}

#[test]
fn a_table_takes_the_place_of_a_large_leaf() {
    for depth in DEPTHS {
        let mut heap = mapped(depth, Choice::Place, 2 * LARGE);
        let (tree, out) = (heap.tree(), heap.out());
        let staging = stage(&mut heap, depth, 0, LARGE).unwrap();
        let done =
            staging.exchange(&tree, &mut heap, pages(depth, 0, LARGE), |_| (), &mut LostBlocks::default());
        assert_eq!((done.dropped().of(large()), done.nr_tables()), (1, 1));
        assert_eq!(heap.out(), (out.0 + 1, out.1 - 1 + 64));
        let Walk::Leaf(neighbour) = tree.walk(&heap, pages(depth, LARGE, 1).start()) else { panic!() };
        assert!(neighbour.size == large() && neighbour.origin == Some(Origin::Altmap));
        assert_eq!(heap.flushed, [pages(depth, 0, LARGE)]);
        // What the exchange made is as what a populate makes.
        let gone = tree.unmap(
            &mut heap,
            pages(depth, 0, 2 * LARGE),
            |_| crate::Fate::Drop,
            &mut LostBlocks::default(),
        );
        assert_eq!((gone.unwrap().shared(), heap.out()), (192, (1, 0)));
    }
}

#[test]
fn whatever_fails_leaves_everything_as_it_was() {
    for depth in DEPTHS {
        for left in 0.. {
            let mut heap = mapped(depth, Choice::Smaller, LARGE + 8);
            let (before, out) = (heap.entries(), heap.out());
            heap.left = left;
            // From one table into the next.
            match stage(&mut heap, depth, LARGE - 8, 16) {
                Ok(staging) => {
                    assert_eq!(heap.out().1, out.1 + 4);
                    staging.discard(
                        &mut heap,
                        pages(depth, LARGE - 8, 16),
                        |_| (),
                        &mut LostBlocks::default(),
                    );
                    assert_eq!((heap.entries(), heap.out()), (before, out));
                    let tables = if depth == PagingDepth::Three { 4 } else { 5 };
                    assert_eq!(left, 4 + tables, "the tables aside, with the root, and four pages");
                    break;
                }
                Err(_) => assert_eq!((heap.entries(), heap.out()), (before, out), "{left} blocks"),
            }
        }
    }
}

#[test]
fn addresses_that_are_not_mapped_stay_so() {
    let depth = DEPTHS[0];
    let mut heap = mapped(depth, Choice::Smaller, 4);
    let staging = stage(&mut heap, depth, 0, 8).unwrap();
    let (tree, out) = (heap.tree(), heap.out());
    let done = staging.exchange(&tree, &mut heap, pages(depth, 0, 8), |_| (), &mut LostBlocks::default());
    assert_eq!((done.dropped().total(), leaves(&heap, pages(depth, 0, 8)).len()), (4, 4));
    assert!(heap.out().1 < out.1 && heap.out().1 == 1);
}
