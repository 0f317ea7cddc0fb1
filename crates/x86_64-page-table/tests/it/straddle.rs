//! Ranges that cross a boundary of each level's tables, with ends inside pages.

use sparsemem_core::{LeafSize, PagingDepth};
use sparsemem_page_table::Walk;

use crate::host::Host;
use crate::ranges::{last, range, up_to, upper};

/// Boundaries of a PTE, PMD, PUD and, with five levels, P4D table, each of them of no larger table.
fn boundaries() -> Vec<(PagingDepth, u64)> {
    let both = [21, 30, 39].into_iter();
    let four = both.clone().map(|bit| (PagingDepth::Four, upper(PagingDepth::Four) | 1 << bit));
    let five = both.chain([48]).map(|bit| (PagingDepth::Five, upper(PagingDepth::Five) | 1 << bit));
    four.chain(five).collect()
}

#[test]
fn every_page_on_both_sides_is_mapped_and_no_other() {
    for (depth, boundary) in boundaries() {
        let mut host = Host::new(depth);
        let wanted = range(boundary - 0x1800, 0x1800 + 0x2801);
        let made = host.fill(wanted, LeafSize::Size4KiB);
        assert_eq!(made.leaves().of(LeafSize::Size4KiB), 5);
        let mapped: Vec<_> = host.linked_leaves().into_keys().collect();
        let expected: Vec<_> = (0..5).map(|page| boundary - 0x2000 + page * 0x1000).collect();
        assert_eq!(mapped, expected);
        let gone = host.empty(wanted);
        assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), made.nr_tables()));
        assert_eq!(host.nr_tables(), 1);
    }
}

#[test]
fn ranges_longer_than_a_table_are_not_cut() {
    for (depth, boundary) in boundaries() {
        for (max, entries) in
            [(LeafSize::Size4KiB, 1100), (LeafSize::Size2MiB, 1100), (LeafSize::Size1GiB, 1100)]
        {
            let mut host = Host::new(depth);
            let tree = host.tree;
            let wanted = range(boundary - max.bytes() * 3 + 5, max.bytes() * entries);
            // In the lowest slots of the half this would start below the boundary of a larger leaf: still canonical.
            let Ok(made) = host.populate(wanted, up_to(max)) else {
                assert!(wanted.start().get() < upper(depth));
                continue;
            };
            assert_eq!((made.leaves().of(max), made.leaves().total()), (entries + 1, entries + 1));
            assert!(matches!(tree.walk(&host, wanted.start()), Walk::Leaf(_)));
            assert!(matches!(tree.walk(&host, last(wanted)), Walk::Leaf(_)));
            let count = tree.mappings(&host, wanted).count();
            assert_eq!(u64::try_from(count).unwrap(), entries + 1);
        }
    }
}

#[test]
fn large_leaves_meet_at_boundaries() {
    for (depth, boundary) in boundaries() {
        if boundary & ((1 << 30) - 1) != 0 {
            continue;
        }
        let mut host = Host::new(depth);
        let made = host.fill(range(boundary - 1, 2), LeafSize::Size1GiB);
        assert_eq!((made.leaves().of(LeafSize::Size1GiB), made.leaves().total()), (2, 2));
    }
}
