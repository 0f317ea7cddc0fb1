//! The promises of the walker, over a format that no processor has. Tests over x86_64's format check the details.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sparsemem_core::{ByteLen, LostBlocks, NodeId, PagingDepth, VirtAddr, VirtRange};

use super::{Heap, Toy, high_end, large, nr_published};
use crate::{Choice, EntryFormat, Fate, Level, PopulateError, Populated, UnmapError, Unmapped, Walk, Wanted};

const LARGE: u64 = 1 << 20;
const DEPTHS: [PagingDepth; 2] = [PagingDepth::Three, PagingDepth::Four];

fn range(start: u64, len_bytes: u64) -> VirtRange {
    VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(len_bytes)).unwrap()
}

/// The first address of the high end.
fn base(depth: PagingDepth) -> u64 {
    high_end(depth)
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
    for (depth, tables) in [(PagingDepth::Three, 2), (PagingDepth::Four, 3)] {
        let mut heap = Heap::new(depth);
        let (tree, before) = (heap.tree(), heap.entries());
        let wanted = range(base(depth) + LARGE - 1, LARGE + 2);
        let made = populate(&mut heap, wanted).unwrap();
        assert_eq!((made.leaves().of(large()), made.leaves().total()), (3, 3));
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
    let mut heap = Heap::new(PagingDepth::Three);
    let at = base(PagingDepth::Three);
    let small = |_, _| Choice::Smaller;
    let made =
        heap.tree().populate(&mut heap, NodeId::new(0), range(at, 1), small, &mut LostBlocks::default());
    assert_eq!((made.unwrap().nr_tables(), heap.out()), (2, (3, 1)));
    // Pages have room for 512 entries, but the lowest tables have 256.
    let count = |level| heap.entries().into_iter().filter(|&entry| entry == Toy::empty(level)).count();
    assert_eq!([Level::PTE, Level::PMD, Level::PUD].map(count), [255, 511, 511]);
    assert!(heap.entries().iter().all(|entry| entry & Toy::FRESH == 0));
    let Walk::Absent { hole, level } = heap.tree().walk(&heap, VirtAddr::new(at + 0x1000)) else {
        panic!("only one page is mapped")
    };
    assert_eq!((hole, level), (range(at + 0x1000, 0x1000), Level::PTE));
}

#[test]
fn levels_without_leaves_are_not_asked_about() {
    let mut heap = Heap::new(PagingDepth::Four);
    let (tree, mut asked) = (heap.tree(), std::vec::Vec::new());
    let policy = |_, size| {
        asked.push(size);
        Choice::Place
    };
    let wanted = range(base(PagingDepth::Four), 1);
    let _ = tree.populate(&mut heap, NodeId::new(0), wanted, policy, &mut LostBlocks::default()).unwrap();
    assert_eq!(asked, [large()]);
}

#[test]
fn mappings_are_listed_on_both_sides_of_the_addresses_that_do_not_exist() {
    let depth = PagingDepth::Three;
    let mut heap = Heap::new(depth);
    let hole = range(base(depth).wrapping_neg(), base(depth) - base(depth).wrapping_neg());
    let (below, above) = (range(hole.start().get() - LARGE, LARGE), range(hole.end().get(), LARGE));
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
    let depth = PagingDepth::Three;
    let mut heap = Heap::new(depth);
    let small = |_, _| Choice::Smaller;
    let two_tables = range(base(depth) + LARGE - 0x2000, 0x4000);
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
    let mut heap = Heap::new(PagingDepth::Three);
    let before = heap.entries();
    heap.leaves_from = 1 << 40;
    let error = populate(&mut heap, range(base(PagingDepth::Three), 1)).unwrap_err();
    let PopulateError::OutOfReach { what, phys, .. } = error else { panic!("{error}") };
    assert_eq!((what, phys.get() >> 40), (Wanted::Leaf(large()), 1));
    assert_eq!((heap.entries(), heap.out()), (before, (1, 0)));
}

#[test]
fn what_was_made_is_published_once() {
    let mut heap = Heap::new(PagingDepth::Three);
    let wanted = range(base(PagingDepth::Three), 5 * LARGE);
    let _ = nr_published();
    let _ = populate(&mut heap, wanted).unwrap();
    assert_eq!((nr_published(), &heap.published[..]), (1, &[wanted][..]));
    // Nothing is new, and nothing stays: nothing is published.
    assert!(populate(&mut heap, wanted).unwrap().is_nothing());
    heap.left = 2;
    let further = range(base(PagingDepth::Three) + 5 * LARGE, 3 * LARGE);
    assert!(populate(&mut heap, further).is_err());
    let _ = unmap(&mut heap, wanted).unwrap();
    assert_eq!((nr_published(), heap.published.len()), (0, 1));
}

/// The environment has to know of every address that became usable, also before and after the range.
#[test]
fn a_leaf_is_published_as_a_whole() {
    let mut heap = Heap::new(PagingDepth::Three);
    let first = base(PagingDepth::Three) + LARGE;
    let _ = populate(&mut heap, range(first + LARGE - 0x1000, 0x2000)).unwrap();
    assert_eq!(heap.published, [range(first, 2 * LARGE)]);
}

#[test]
fn a_narrow_root_translates_its_addresses_and_no_others() {
    let mut heap = Heap::new(PagingDepth::Four);
    let ends = [range(0, 1), range((1 << 44) - LARGE, LARGE), range(base(PagingDepth::Four), 1)];
    for end in ends.into_iter().chain([range(u64::MAX - LARGE, LARGE)]) {
        assert!(populate(&mut heap, end).is_ok(), "{end}");
    }
    let shape = heap.tree().shape();
    // Entries 0, 63, 64 and 127 of the root's 128.
    let used = heap.entries().into_iter().take(128).enumerate();
    let used = used.filter(|(_, entry)| *entry != Toy::empty(shape.level()));
    assert_eq!(used.map(|(index, _)| index).collect::<std::vec::Vec<_>>(), [0, 63, 64, 127]);
}

#[test]
fn a_depth_that_the_processor_does_not_have_maps_nothing() {
    let mut heap = Heap::new(PagingDepth::Three);
    // SAFETY: no table is reached: the format has no root of this depth.
    let tree = unsafe { crate::PageTable::<Toy>::new(heap.tree().root(), PagingDepth::Five) };
    let (wanted, mut lost) = (range(base(PagingDepth::Three), 1), LostBlocks::default());
    let refused = tree.populate(&mut heap, NodeId::new(0), wanted, |_, _| Choice::Place, &mut lost);
    assert_eq!(refused, Err(PopulateError::NonCanonical { range: wanted }));
    assert_eq!(tree.walk(&heap, wanted.start()), Walk::NonCanonical);
    assert_eq!(tree.mappings(&heap, range(0, u64::MAX)).count(), 0);
    assert_eq!(tree.table_pages(&heap, range(0, u64::MAX)).total(), 0);
}

#[test]
fn callbacks_may_unwind() {
    let mut heap = Heap::new(PagingDepth::Four);
    let (tree, before) = (heap.tree(), heap.entries());
    let wanted = range(base(PagingDepth::Four), 5 * LARGE);
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
