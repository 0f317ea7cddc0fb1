//! Walks, lists of mappings and counts of tables agree with the tables.

use sparsemem_core::{LeafSize, PagingDepth, VirtAddr, VirtRange};
use sparsemem_page_table::{Level, Mapping, Walk};

use crate::host::Host;
use crate::ranges::{BASE, GIB, MIB2, last, range};

/// A leaf of each size, with holes between them.
fn mixed() -> Host {
    let mut host = Host::new(PagingDepth::Four);
    let leaves = [
        (BASE + 0x3000, LeafSize::Size4KiB),
        (BASE + 2 * MIB2, LeafSize::Size2MiB),
        (BASE + 3 * GIB, LeafSize::Size1GiB),
    ];
    for (at, size) in leaves {
        let _ = host.fill(range(at, 1), size);
    }
    host
}

#[test]
fn holes_are_as_large_as_the_absent_entry() {
    let host = mixed();
    let tree = host.tree;
    let holes = [
        (BASE + 0x2fff, BASE + 0x2000, LeafSize::Size4KiB.bytes(), Level::PTE),
        (BASE + 0x4000, BASE + 0x4000, LeafSize::Size4KiB.bytes(), Level::PTE),
        (BASE + MIB2 + 5, BASE + MIB2, LeafSize::Size2MiB.bytes(), Level::PMD),
        (BASE + 2 * GIB - 1, BASE + GIB, LeafSize::Size1GiB.bytes(), Level::PUD),
        (BASE + (1 << 39), BASE + (1 << 39), 1 << 39, Level::P4D),
    ];
    for (at, start, len_bytes, level) in holes {
        let hole = range(start, len_bytes);
        assert_eq!(tree.walk(&host, VirtAddr::new(at)), Walk::Absent { hole, level });
    }
}

#[test]
fn mappings_agree_with_walks_and_with_the_tables() {
    let host = mixed();
    let tree = host.tree;
    let all: Vec<Mapping> = tree.mappings(&host, range(BASE, 4 * GIB)).collect();
    let expected: Vec<_> = host.linked_leaves().into_values().collect();
    assert_eq!(all.len(), expected.len());
    for (mapping, leaf) in all.iter().zip(expected) {
        assert_eq!((mapping.range, mapping.size), (leaf.range, leaf.size));
        assert_eq!(mapping.phys.get(), leaf.frame);
        assert_eq!(mapping.entry, leaf.raw);
        assert_eq!(u64::from(mapping.origin.unwrap().code()), leaf.raw >> 9 & 3);
        for at in [mapping.range.start(), last(mapping.range)] {
            assert_eq!(tree.walk(&host, at), Walk::Leaf(*mapping));
        }
    }
}

#[test]
fn a_leaf_that_the_range_only_touches_is_listed_whole() {
    let host = mixed();
    let tree = host.tree;
    let touching = |start, len_bytes| -> Vec<VirtRange> {
        tree.mappings(&host, range(start, len_bytes)).map(|leaf| leaf.range).collect()
    };
    assert_eq!(touching(BASE + 3 * MIB2 - 1, 1), [range(BASE + 2 * MIB2, MIB2)]);
    assert_eq!(touching(BASE + 3 * MIB2, 1), []);
    assert_eq!(touching(BASE + 2 * MIB2 - 1, 1), []);
    assert_eq!(touching(BASE + 3 * GIB + 7, 1), [range(BASE + 3 * GIB, GIB)]);
    assert_eq!(touching(BASE + 0x3000, 0), []);
}

#[test]
fn each_table_is_counted_once() {
    let host = mixed();
    let tree = host.tree;
    let count = |start, len_bytes| {
        let pages = tree.table_pages(&host, range(start, len_bytes));
        [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD].map(|level| pages.of(level))
    };
    assert_eq!(count(BASE, 4 * GIB), [1, 1, 1, 1, 0]);
    assert_eq!(count(BASE + 0x1fff, 2), [1, 1, 1, 1, 0]);
    assert_eq!(count(BASE + MIB2, GIB), [0, 1, 1, 1, 0]);
    assert_eq!(count(BASE + GIB, 1), [0, 0, 1, 1, 0]);
    assert_eq!(count(BASE + (1 << 39), 1), [0, 0, 0, 1, 0]);
    assert_eq!(count(BASE, 0), [0; 5]);
}
