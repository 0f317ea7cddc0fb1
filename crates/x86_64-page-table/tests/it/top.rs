//! The ends of the address space: its last page, and the ends of the two canonical halves.

use sparsemem_core::{LeafSize, PagingDepth, VirtAddr, VirtRange};
use sparsemem_page_table::Walk;

use crate::host::Host;
use crate::ranges::{DEPTHS, SIZES, last, range, up_to, up_to_top, upper};

fn there_and_back(depth: PagingDepth, wanted: VirtRange, max: LeafSize) {
    let mut host = Host::new(depth);
    let (tree, empty) = (host.tree, host.snapshot());
    let made = host.fill(wanted, max);
    assert!(matches!(tree.walk(&host, wanted.start()), Walk::Leaf(_)));
    assert!(matches!(tree.walk(&host, last(wanted)), Walk::Leaf(leaf) if leaf.size == max));
    let mapped: u64 = tree.mappings(&host, wanted).map(|leaf| leaf.range.count().get()).sum();
    // The range of the last leaf there is ends before its last byte.
    let is_last = tree.mappings(&host, wanted).any(|leaf| leaf.range.end().get() == u64::MAX);
    assert_eq!(mapped, made.leaves().bytes() - u64::from(is_last));
    assert_eq!(is_last, wanted.end().get() > u64::MAX - 0x1000);
    assert_eq!(tree.table_pages(&host, wanted).total(), made.nr_tables() + 1);
    let gone = host.empty(wanted);
    assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), made.nr_tables()));
    assert_eq!(host.snapshot(), empty);
}

#[test]
fn the_last_bytes_can_be_mapped() {
    for depth in DEPTHS {
        for max in SIZES {
            there_and_back(depth, up_to_top(u64::MAX - 1), max);
            there_and_back(depth, up_to_top(u64::MAX - 3 * 0x1000), max);
            // Does not reach the top, but its rounded end does.
            there_and_back(depth, range(u64::MAX - 0x1100, 0x1000), max);
            let two = VirtAddr::new(2 * max.bytes()).get().wrapping_neg() + 1;
            there_and_back(depth, up_to_top(two), max);
        }
    }
}

#[test]
fn the_ends_of_the_halves_can_be_mapped() {
    for depth in DEPTHS {
        let low_end = upper(depth).wrapping_neg();
        for max in SIZES {
            there_and_back(depth, range(low_end - 1, 1), max);
            there_and_back(depth, range(low_end - max.bytes() - 1, max.bytes() + 1), max);
            there_and_back(depth, range(upper(depth), 1), max);
            there_and_back(depth, range(0, 1), max);
        }
    }
}

#[test]
fn a_failure_at_the_top_is_undone() {
    let mut host = Host::new(PagingDepth::Four);
    let empty = host.snapshot();
    let wanted = up_to_top(u64::MAX - 0x2fff);
    host.faults.link = Some(2);
    assert!(host.populate(wanted, up_to(LeafSize::Size4KiB)).is_err());
    assert_eq!(host.snapshot(), empty);
}

#[test]
fn mappings_and_tables_are_counted_across_the_hole() {
    for depth in DEPTHS {
        let mut host = Host::new(depth);
        let tree = host.tree;
        for at in [0x1000, upper(depth).wrapping_neg() - 1, upper(depth), u64::MAX - 1] {
            let _ = host.fill(range(at, 1), LeafSize::Size4KiB);
        }
        let everything = up_to_top(1);
        assert_eq!(tree.mappings(&host, everything).count(), 4);
        let nr_tables = u64::try_from(host.nr_tables()).unwrap();
        assert_eq!(tree.table_pages(&host, everything).total(), nr_tables);
        let hole = VirtRange::new(VirtAddr::new(upper(depth).wrapping_neg()), VirtAddr::new(upper(depth)));
        assert_eq!(tree.mappings(&host, hole.unwrap()).count(), 0);
        assert_eq!(tree.table_pages(&host, hole.unwrap()).total(), 0);
    }
}
