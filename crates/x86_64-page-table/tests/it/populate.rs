//! The mappings that populate makes, in one piece, and those that it leaves alone.

use sparsemem_core::{LeafSize, PagingDepth};
use sparsemem_page_table::Choice;
use sparsemem_x86_64_page_table::{PageTableFlags, X86_64};

use crate::host::{Faults, Host};
use crate::ranges::{BASE, GIB, MIB2, SIZES, range};

/// A large leaf reaches beyond the range; five levels take one table more.
#[test]
fn a_short_range_takes_one_leaf_and_the_tables_above_it() {
    for (depth, at, len_bytes, max, tables) in [
        (PagingDepth::Four, BASE + 0x1fff, 1, LeafSize::Size4KiB, 3),
        (PagingDepth::Five, 0xff00_1234_5678_9000, 1, LeafSize::Size4KiB, 4),
        (PagingDepth::Four, BASE + 0x5000, 0x1000, LeafSize::Size2MiB, 2),
        (PagingDepth::Four, BASE + 0x5000, 0x1000, LeafSize::Size1GiB, 1),
    ] {
        let mut host = Host::new(depth);
        let made = host.fill(range(at, len_bytes), max);
        assert_eq!((made.leaves().of(max), made.leaves().total(), made.nr_tables()), (1, 1, tables));
        assert_eq!(made.leaves().bytes(), max.bytes());
        assert!(host.linked_leaves().contains_key(&(at & !(max.bytes() - 1))));
    }
}

#[test]
fn a_second_populate_does_nothing() {
    for max in SIZES {
        let mut host = Host::new(PagingDepth::Four);
        let range = range(BASE + GIB - MIB2 - 0x800, 2 * MIB2);
        assert!(!host.fill(range, max).is_nothing());
        let before = (host.snapshot(), host.nr_leaf_allocs, host.nr_table_allocs, host.nr_flushes);
        assert!(host.fill(range, max).is_nothing());
        let after = (host.snapshot(), host.nr_leaf_allocs, host.nr_table_allocs, host.nr_flushes);
        assert!(before == after);
    }
}

#[test]
fn the_policy_sees_aligned_slots_from_large_to_small() {
    let mut host = Host::new(PagingDepth::Four);
    let mut asked = Vec::new();
    let wanted = range(BASE + GIB - 0x1000, 0x2000);
    let made = host.populate(wanted, |slot, size| {
        asked.push((slot.start().get(), size));
        assert_eq!(slot.count().get(), size.bytes());
        Choice::Smaller
    });
    assert_eq!(made.unwrap().leaves().of(LeafSize::Size4KiB), 2);
    let expected = [
        (BASE, LeafSize::Size1GiB),
        (BASE + GIB - MIB2, LeafSize::Size2MiB),
        (BASE + GIB, LeafSize::Size1GiB),
        (BASE + GIB, LeafSize::Size2MiB),
    ];
    assert_eq!(asked, expected);
}

#[test]
fn the_policy_may_mix_sizes() {
    let mut host = Host::new(PagingDepth::Four);
    // 4 KiB up to the first 2 MiB, 2 MiB up to the first GiB, one GiB, and the same downwards.
    let wanted = range(BASE + GIB - MIB2 - 0x3000, 0x3000 + MIB2 + GIB + MIB2 + 0x2000);
    let made = host.populate(wanted, |slot, _| match wanted.contains_range(slot) {
        true => Choice::Place,
        false => Choice::Smaller,
    });
    let leaves = made.unwrap().leaves();
    let by_size = SIZES.map(|size| leaves.of(size));
    assert_eq!(by_size, [5, 2, 1]);
    assert_eq!(leaves.bytes(), wanted.count().get());
}

#[test]
fn no_memory_for_large_leaves_means_smaller_ones() {
    let [_, medium, large] = SIZES;
    // In the last case one large leaf fails, and the next one does not.
    for (no_leaves_of, leaf, max, leaves, tables) in [
        (vec![large], None, large, [0, 2], 2),
        (vec![large, medium], None, large, [1024, 0], 4),
        (vec![], Some(0), medium, [512, 1], 3),
    ] {
        let mut host = Host::new(PagingDepth::Four);
        host.faults = Faults { no_leaves_of, leaf, ..Faults::default() };
        let made = host.fill(range(BASE, 2 * MIB2), max);
        assert_eq!([LeafSize::Size4KiB, medium].map(|size| made.leaves().of(size)), leaves);
        assert_eq!(made.nr_tables(), tables);
    }
}

#[test]
fn an_existing_table_is_filled_and_existing_leaves_stay() {
    let mut host = Host::new(PagingDepth::Four);
    let _ = host.fill(range(BASE + 0x7000, 0x1000), LeafSize::Size4KiB);
    let first = host.linked_leaves()[&(BASE + 0x7000)];
    let made = host.fill(range(BASE, MIB2 + 1), LeafSize::Size1GiB);
    let leaves = made.leaves();
    assert_eq!((leaves.of(LeafSize::Size4KiB), leaves.of(LeafSize::Size2MiB)), (511, 1));
    assert_eq!(made.nr_tables(), 0);
    assert_eq!(host.linked_leaves()[&(BASE + 0x7000)], first);
}

#[test]
fn leaves_are_written_once_and_for_all() {
    let mut host = Host::new(PagingDepth::Four);
    let _ = host.fill(range(BASE, 1), LeafSize::Size4KiB);
    let _ = host.fill(range(BASE + MIB2, 1), LeafSize::Size2MiB);
    let always = PageTableFlags::PRESENT
        | PageTableFlags::WRITABLE
        | PageTableFlags::ACCESSED
        | PageTableFlags::DIRTY
        | PageTableFlags::NO_EXECUTE;
    let tree = host.tree;
    let flags: Vec<_> =
        tree.mappings(&host, range(BASE, 2 * MIB2)).map(|leaf| X86_64::flags(leaf.entry)).collect();
    assert_eq!(flags, [always, always | PageTableFlags::HUGE_PAGE]);
    let raw: Vec<_> = host.linked_leaves().values().map(|leaf| leaf.raw & !(0b11 << 9)).collect();
    assert_eq!(raw.iter().map(|raw| raw & 0xfff).collect::<Vec<_>>(), [0x63, 0xe3]);
}
