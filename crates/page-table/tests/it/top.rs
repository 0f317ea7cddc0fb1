//! The ends of the address space: its last page, and the ends of the two canonical halves.

use sparsemem_page_table::{Depth, Fate, LeafSize, VirtAddr, VirtRange, Walk};

use crate::host::Host;
use crate::straddle::{range, up_to, upper};

const SIZES: [LeafSize; 3] = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB];

fn there_and_back(depth: Depth, wanted: VirtRange, max: LeafSize) {
    let mut host = Host::new(depth);
    let (tree, empty) = (host.tree, host.snapshot());
    let made = tree.populate(&mut host, wanted, up_to(max)).unwrap();
    host.check();
    assert!(matches!(tree.walk(&host, wanted.start()), Walk::Leaf(_)));
    assert!(matches!(tree.walk(&host, wanted.last().unwrap()), Walk::Leaf(leaf) if leaf.size == max));
    let mapped: u64 = tree.mappings(&host, wanted).map(|leaf| leaf.range.len_bytes()).sum();
    assert_eq!(mapped, made.leaves().bytes());
    assert_eq!(tree.table_pages(&host, wanted).total(), made.nr_tables() + 1);
    let gone = tree.unmap(&mut host, wanted, |_| Fate::Drop).unwrap();
    host.check();
    assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), made.nr_tables()));
    assert_eq!(host.snapshot(), empty);
}

#[test]
fn the_last_bytes_can_be_mapped() {
    for depth in [Depth::Four, Depth::Five] {
        for max in SIZES {
            there_and_back(depth, VirtRange::up_to_top(VirtAddr::new(u64::MAX)).unwrap(), max);
            there_and_back(depth, VirtRange::up_to_top(VirtAddr::new(u64::MAX - 3 * 0x1000)).unwrap(), max);
            // Does not reach the top, but its rounded end does.
            there_and_back(depth, range(u64::MAX - 0x1100, 0x1000), max);
            let two = VirtAddr::new(2 * max.bytes()).get().wrapping_neg() + 1;
            there_and_back(depth, VirtRange::up_to_top(VirtAddr::new(two)).unwrap(), max);
        }
    }
}

#[test]
fn the_ends_of_the_halves_can_be_mapped() {
    for depth in [Depth::Four, Depth::Five] {
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
    let mut host = Host::new(Depth::Four);
    let (tree, empty) = (host.tree, host.snapshot());
    let wanted = VirtRange::up_to_top(VirtAddr::new(u64::MAX - 0x2fff)).unwrap();
    host.faults.link = Some(2);
    assert!(tree.populate(&mut host, wanted, up_to(LeafSize::Size4KiB)).is_err());
    host.check();
    assert_eq!(host.snapshot(), empty);
}

#[test]
fn mappings_and_tables_are_counted_across_the_hole() {
    for depth in [Depth::Four, Depth::Five] {
        let mut host = Host::new(depth);
        let tree = host.tree;
        for at in [0x1000, upper(depth).wrapping_neg() - 1, upper(depth), u64::MAX] {
            let _ = tree.populate(&mut host, range(at, 1), up_to(LeafSize::Size4KiB)).unwrap();
        }
        host.check();
        let everything = VirtRange::up_to_top(VirtAddr::new(1)).unwrap();
        assert_eq!(tree.mappings(&host, everything).count(), 4);
        let nr_tables = u64::try_from(host.nr_tables()).unwrap();
        assert_eq!(tree.table_pages(&host, everything).total(), nr_tables);
        let hole = VirtRange::new(VirtAddr::new(upper(depth).wrapping_neg()), VirtAddr::new(upper(depth)));
        assert_eq!(tree.mappings(&host, hole.unwrap()).count(), 0);
        assert_eq!(tree.table_pages(&host, hole.unwrap()).total(), 0);
    }
}
