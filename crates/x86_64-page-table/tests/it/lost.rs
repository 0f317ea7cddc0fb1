//! An environment that takes nothing back: every block is counted, and the tables are in order all the same.

use sparsemem_core::{LeafSize, LostBlocks, PagingDepth};
use sparsemem_page_table::{Fate, PopulateError};

use crate::host::{Faults, Host, NODE};
use crate::ranges::{MIB2, range, up_to, upper};

#[test]
fn every_block_of_an_unmap_is_counted() {
    let mut host = Host::new(PagingDepth::Four);
    let wanted = range(upper(PagingDepth::Four) + MIB2 - 0x8000, 60 * 0x1000);
    let made = host.fill(wanted, LeafSize::Size4KiB);
    let first = host.linked_leaves().into_values().next().unwrap();
    host.faults.refuses = true;
    let (tree, mut lost) = (host.tree, LostBlocks::default());
    let gone = tree.unmap(&mut host, wanted, |_| Fate::Drop, &mut lost).unwrap();
    host.check();
    assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), made.nr_tables()));
    assert_eq!(lost.count(), 60 + 4);
    let named = lost.first().unwrap();
    assert_eq!((named.size, u64::from(named.origin.code())), (4096, first.raw >> 9 & 3));
    assert_eq!(host.nr_tables(), 1);
}

#[test]
fn every_block_of_a_populate_that_fails_is_counted() {
    let mut host = Host::new(PagingDepth::Four);
    let wanted = range(upper(PagingDepth::Four), 5 * 0x1000);
    let faults = [
        (Faults { leaf: Some(4), ..Faults::default() }, 3 + 4),
        (Faults { link: Some(4), ..Faults::default() }, 3 + 5),
        (Faults { table: Some(2), ..Faults::default() }, 2),
        // The block that does not fit goes back at once.
        (Faults { far_leaf: Some(LeafSize::Size4KiB), ..Faults::default() }, 3 + 1),
        (Faults { misalign_table: true, ..Faults::default() }, 1),
    ];
    for (faults, blocks) in faults {
        let (before, tree, mut lost) = (host.snapshot(), host.tree, LostBlocks::default());
        host.faults = Faults { refuses: true, ..faults };
        let small = up_to(LeafSize::Size4KiB);
        let failed: Result<_, PopulateError> = tree.populate(&mut host, NODE, wanted, small, &mut lost);
        assert_eq!((failed.is_err(), lost.count()), (true, blocks));
        host.check();
        assert!(host.snapshot() == before);
    }
}
