//! The mappings that unmap takes, and those that it leaves.

use sparsemem_core::{LeafSize, PagingDepth, VirtAddr, VirtRange};
use sparsemem_page_table::{Fate, Level, Unmapped, Walk};

use crate::host::Host;
use crate::ranges::{BASE, DEPTHS, MIB2, range, up_to_top, upper};

fn mapped(range: VirtRange, max: LeafSize) -> Host {
    let mut host = Host::new(PagingDepth::Four);
    let _ = host.fill(range, max);
    host
}

#[test]
fn what_was_never_mapped_is_no_matter() {
    for depth in DEPTHS {
        let mut host = Host::new(depth);
        let before = host.snapshot();
        assert_eq!(host.empty(range(upper(depth), 1 << 46)), Unmapped::default());
        assert_eq!(host.empty(range(upper(depth) + 0x123, 1)), Unmapped::default());
        assert_eq!((host.snapshot(), host.nr_flushes), (before, 0));
    }
}

#[test]
fn neighbours_stay() {
    let mut host = mapped(range(BASE, 10 * 0x1000), LeafSize::Size4KiB);
    let gone = host.empty(range(BASE + 0x3fff, 2));
    assert_eq!((gone.dropped().total(), gone.nr_tables()), (2, 0));
    let left: Vec<_> = host.linked_leaves().into_keys().map(|at| (at - BASE) >> 12).collect();
    assert_eq!(left, [0, 1, 2, 5, 6, 7, 8, 9]);
}

#[test]
fn a_leaf_goes_whole() {
    for max in [LeafSize::Size2MiB, LeafSize::Size1GiB] {
        let mut host = mapped(range(BASE, 1), max);
        let gone = host.empty(range(BASE + max.bytes() / 2, 1));
        assert_eq!((gone.dropped().of(max), host.nr_tables()), (1, 1));
    }
}

#[test]
fn keep_sees_each_leaf_once_and_whole() {
    let mut host = mapped(range(BASE, 4 * MIB2), LeafSize::Size2MiB);
    let mut seen = Vec::new();
    // From the middle of the first leaf to the middle of the last.
    let wanted = range(BASE + MIB2 / 2, 3 * MIB2);
    let gone = host.unmap(wanted, |leaf| {
        seen.push(leaf.range);
        if wanted.contains_range(leaf.range) { Fate::Drop } else { Fate::Keep }
    });
    assert_eq!(seen, [0, 1, 2, 3].map(|leaf| range(BASE + leaf * MIB2, MIB2)));
    let gone = gone.unwrap();
    assert_eq!((gone.dropped().total(), gone.kept().total(), gone.nr_tables()), (2, 2, 0));
    let left: Vec<_> = host.linked_leaves().into_keys().collect();
    assert_eq!(left, [BASE, BASE + 3 * MIB2]);
}

#[test]
fn keeping_everything_changes_nothing() {
    let wanted = range(BASE + 0x3000, 3 * MIB2);
    let mut host = mapped(wanted, LeafSize::Size4KiB);
    let before = host.snapshot();
    let gone = host.unmap(wanted, |_| Fate::Keep).unwrap();
    assert_eq!((gone.dropped().total(), gone.kept().total(), gone.nr_tables()), (0, 3 * 512, 0));
    assert_eq!((host.snapshot(), host.nr_flushes), (before, 0));
}

#[test]
fn tables_go_with_their_last_leaf() {
    let mut host = mapped(range(BASE, 2 * MIB2), LeafSize::Size4KiB);
    assert_eq!(host.nr_tables(), 5);
    assert_eq!(host.empty(range(BASE, MIB2)).nr_tables(), 1);
    assert_eq!(host.empty(range(BASE + MIB2, MIB2 - 0x1000)).nr_tables(), 0);
    assert_eq!(host.empty(range(BASE + 2 * MIB2 - 0x1000, 1)).nr_tables(), 3);
    assert_eq!(host.nr_tables(), 1);
}

#[test]
fn tables_that_were_empty_before_go_too() {
    let mut host = mapped(range(BASE, 1), LeafSize::Size4KiB);
    let root = host.tree.root().get();
    let table = host.table_of(VirtAddr::new(BASE), LeafSize::Size4KiB);
    // An entry with a software note only keeps the table, although nothing is mapped.
    host.poke(table, 300, 1 << 11);
    let gone = host.empty(range(BASE, MIB2));
    assert_eq!((gone.dropped().total(), gone.nr_tables(), host.nr_tables()), (1, 0, 4));
    host.poke(table, 300, 0);
    // Anywhere on the way to the empty table is enough; elsewhere is not.
    assert_eq!(host.empty(range(BASE + (1 << 39), MIB2)).nr_tables(), 0);
    assert_eq!(host.empty(range(BASE + MIB2 - 1, 1)).nr_tables(), 3);
    assert_eq!((host.nr_tables(), host.tree.root().get()), (1, root));
}

#[test]
fn long_ranges_are_freed_in_batches() {
    let wanted = range(BASE + 0x1000, 4 * MIB2);
    let mut host = mapped(wanted, LeafSize::Size4KiB);
    let gone = host.empty(wanted);
    assert_eq!((gone.dropped().total(), gone.nr_tables()), (2048, 7));
    // Neighbours are flushed as one: far fewer flushes than leaves.
    assert!(host.nr_flushes < 2048 / 16, "{}", host.nr_flushes);
}

#[test]
fn gaps_are_not_flushed() {
    let mut host = Host::new(PagingDepth::Four);
    let pages: Vec<_> = (0..200).map(|n| range(BASE + n * 0x2000, 1)).collect();
    for &page in &pages {
        let _ = host.fill(page, LeafSize::Size4KiB);
    }
    // Every second one stays mapped: the host checks that no flush touches it.
    let mut number = 0;
    let gone = host.unmap(range(BASE, 400 * 0x1000), |_| {
        number += 1;
        if number % 2 == 0 { Fate::Keep } else { Fate::Drop }
    });
    let gone = gone.unwrap();
    assert_eq!((gone.dropped().total(), gone.kept().total(), host.nr_flushes), (100, 100, 100));
}

#[test]
fn the_whole_half_can_be_unmapped_at_once() {
    let mut host = mapped(range(BASE, 3 * MIB2), LeafSize::Size4KiB);
    let tree = host.tree;
    let _ = host.fill(range(u64::MAX - 1, 1), LeafSize::Size1GiB);
    let all = up_to_top(upper(PagingDepth::Four));
    assert_eq!(host.empty(all).dropped().total(), 3 * 512 + 1);
    assert_eq!(host.nr_tables(), 1);
    let hole = tree.walk(&host, VirtAddr::new(BASE));
    assert!(matches!(hole, Walk::Absent { level: Level::P4D, hole } if hole.count().get() == 1 << 39));
}
