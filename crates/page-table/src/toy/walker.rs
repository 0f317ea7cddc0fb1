//! The promises of the walker, over a format that no processor has. Tests over x86_64's format check the details.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sparsemem_core::{ByteLen, LeafSize, LostBlocks, NodeId, PagingDepth, VirtAddr, VirtRange};

use super::{Heap, Toy, nr_published};
use crate::{Choice, EntryFormat, Fate, Level, PopulateError, Populated, UnmapError, Unmapped, Walk, Wanted};

const MIB2: u64 = 2 << 20;
const DEPTHS: [PagingDepth; 2] = [PagingDepth::Four, PagingDepth::Five];

fn range(start: u64, len_bytes: u64) -> VirtRange {
    VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(len_bytes)).unwrap()
}

/// An address near the start of the upper half.
fn base(depth: PagingDepth) -> u64 {
    u64::MAX << (Toy::address_bits(depth) - 1)
}

fn populate(heap: &mut Heap, range: VirtRange) -> Result<Populated, PopulateError> {
    let mut lost = LostBlocks::default();
    let made = heap.tree().populate(heap, NodeId::new(0), range, |_, _| Choice::Place, &mut lost);
    assert!(lost.is_empty());
    made
}

fn unmap(heap: &mut Heap, range: VirtRange) -> Result<Unmapped, UnmapError> {
    let mut lost = LostBlocks::default();
    let gone = heap.tree().unmap(heap, range, |_| Fate::Drop, &mut lost);
    assert!(lost.is_empty());
    gone
}

#[test]
fn there_and_back() {
    for (depth, tables) in [(PagingDepth::Four, 2), (PagingDepth::Five, 3)] {
        let mut heap = Heap::new(depth);
        let (tree, before) = (heap.tree(), heap.entries());
        let wanted = range(base(depth) + MIB2 - 1, MIB2 + 2);
        let made = populate(&mut heap, wanted).unwrap();
        assert_eq!((made.leaves().of(LeafSize::Size2MiB), made.leaves().total()), (3, 3));
        assert_eq!(
            (heap.out(), tree.table_pages(&heap, wanted).total()),
            ((tables, 3), made.nr_tables() + 1)
        );
        let gone = unmap(&mut heap, wanted).unwrap();
        assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), made.nr_tables()));
        assert_eq!((heap.entries(), heap.out()), (before, (1, 0)));
    }
}

#[test]
fn new_tables_are_full_of_the_formats_empty_entries() {
    let mut heap = Heap::new(PagingDepth::Four);
    let at = base(PagingDepth::Four);
    let small = |_, _| Choice::Smaller;
    let made =
        heap.tree().populate(&mut heap, NodeId::new(0), range(at, 1), small, &mut LostBlocks::default());
    assert_eq!((made.unwrap().nr_tables(), heap.out()), (2, (3, 1)));
    let used = heap.entries().into_iter().filter(|&entry| entry != Toy::EMPTY);
    assert_eq!(used.count(), 3);
    assert!(heap.entries().iter().all(|entry| entry & Toy::FRESH == 0));
    let Walk::Absent { hole, level } = heap.tree().walk(&heap, VirtAddr::new(at + 0x1000)) else {
        panic!("only one page is mapped")
    };
    assert_eq!((hole, level), (range(at + 0x1000, 0x1000), Level::PTE));
}

#[test]
fn levels_without_leaves_are_not_asked_about() {
    let mut heap = Heap::new(PagingDepth::Five);
    let (tree, mut asked) = (heap.tree(), std::vec::Vec::new());
    let policy = |_, size| {
        asked.push(size);
        Choice::Place
    };
    let wanted = range(base(PagingDepth::Five), 1);
    let _ = tree.populate(&mut heap, NodeId::new(0), wanted, policy, &mut LostBlocks::default()).unwrap();
    assert_eq!(asked, [LeafSize::Size2MiB]);
}

#[test]
fn mappings_are_listed_on_both_sides_of_the_addresses_that_do_not_exist() {
    let depth = PagingDepth::Four;
    let mut heap = Heap::new(depth);
    let hole = range(base(depth).wrapping_neg(), base(depth) - base(depth).wrapping_neg());
    let (below, above) = (range(hole.start().get() - MIB2, MIB2), range(hole.end().get(), MIB2));
    for side in [below, above] {
        let _ = populate(&mut heap, side).unwrap();
    }
    let listed =
        |within| heap.tree().mappings(&heap, within).map(|it| it.range).collect::<std::vec::Vec<_>>();
    let around = range(below.start().get(), above.end().get() - below.start().get());
    assert_eq!(listed(around), [below, above]);
    assert_eq!(listed(hole), [], "the hole ends where a mapping begins");
}

#[test]
fn every_table_on_the_way_is_counted_once() {
    let depth = PagingDepth::Four;
    let mut heap = Heap::new(depth);
    let small = |_, _| Choice::Smaller;
    let two_tables = range(base(depth) + MIB2 - 0x2000, 0x4000);
    let made = heap.tree().populate(&mut heap, NodeId::new(0), two_tables, small, &mut LostBlocks::default());
    let count = heap.tree().table_pages(&heap, two_tables);
    assert_eq!((count.of(Level::PTE), count.total()), (2, made.unwrap().nr_tables() + 1));
}

#[test]
fn addresses_that_the_format_does_not_translate_are_refused() {
    for depth in DEPTHS {
        let mut heap = Heap::new(depth);
        let hole = range(base(depth) - 1, 1);
        assert_eq!(populate(&mut heap, hole), Err(PopulateError::NonCanonical { range: hole }));
        assert_eq!(unmap(&mut heap, hole), Err(UnmapError::NonCanonical { range: hole }));
        assert_eq!(heap.tree().walk(&heap, hole.start()), Walk::NonCanonical);
        assert!(populate(&mut heap, range(base(depth).wrapping_neg() - 1, 1)).is_ok());
    }
}

#[test]
fn memory_beyond_the_formats_addresses_is_given_back() {
    let mut heap = Heap::new(PagingDepth::Four);
    let before = heap.entries();
    heap.leaves_from = 1 << 40;
    let error = populate(&mut heap, range(base(PagingDepth::Four), 1)).unwrap_err();
    let PopulateError::OutOfReach { what, phys, .. } = error else { panic!("{error}") };
    assert_eq!((what, phys.get() >> 40), (Wanted::Leaf(LeafSize::Size2MiB), 1));
    assert_eq!((heap.entries(), heap.out()), (before, (1, 0)));
}

#[test]
fn what_was_made_is_published_once() {
    let mut heap = Heap::new(PagingDepth::Four);
    let wanted = range(base(PagingDepth::Four), 5 * MIB2);
    let _ = nr_published();
    let _ = populate(&mut heap, wanted).unwrap();
    assert_eq!(nr_published(), 1);
    // Nothing is new, and nothing stays: nothing is published.
    assert!(populate(&mut heap, wanted).unwrap().is_nothing());
    heap.left = 2;
    let further = range(base(PagingDepth::Four) + 5 * MIB2, 3 * MIB2);
    assert!(populate(&mut heap, further).is_err());
    let _ = unmap(&mut heap, wanted).unwrap();
    assert_eq!(nr_published(), 0);
}

#[test]
fn callbacks_may_unwind() {
    let mut heap = Heap::new(PagingDepth::Five);
    let (tree, before) = (heap.tree(), heap.entries());
    let wanted = range(base(PagingDepth::Five), 5 * MIB2);
    let (mut lost, mut left) = (LostBlocks::default(), 3);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let policy = |_, _| {
            left -= 1;
            if left == 0 { panic!("callback") } else { Choice::Place }
        };
        let _ = tree.populate(&mut heap, NodeId::new(0), wanted, policy, &mut lost);
    }));
    assert!(unwound.is_err());
    assert_eq!((heap.entries(), heap.out(), heap.flushed.is_empty()), (before, (1, 0), false));
    // Each change of the root's entry was reported: when it was made, and when it was removed.
    assert_eq!(heap.roots_changed.len(), 2);
    assert!(heap.roots_changed.iter().all(|&at| wanted.contains(at)));
}
