//! Callbacks are safe closures, so they may panic, whichever call of them it is. No entry is left half done: what a
//! populate made is taken back, and what an unmap cleared is flushed and given back.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use sparsemem_core::{LeafSize, LostBlocks, PagingDepth, VirtRange};
use sparsemem_page_table::{Choice, Fate, Mapping, PopulateError};

use crate::host::{Faults, Host, NODE};
use crate::ranges::{DEPTHS, GIB, MIB2, range, up_to, upper};

/// The value with which the callbacks here unwind.
#[derive(Debug)]
struct Unwound;

/// Counts calls down, and unwinds at the one for which none is left.
struct Fuse {
    left: u32,
}

impl Fuse {
    fn burn(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => panic_any(Unwound),
        }
    }
}

/// True if `run` came to its end; only a callback may have kept it from that.
fn ends(run: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => true,
        Err(cause) if cause.is::<Unwound>() => false,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

/// Calls `attempt` with fuses that are longer each time, until one is long enough; returns for how many it was not.
fn every_call(mut attempt: impl FnMut(Fuse) -> bool) -> u32 {
    (0..).take_while(|&left| !attempt(Fuse { left })).fold(0, |count, _| count + 1)
}

/// From the last page before a boundary of a PUD table, over a GiB of any size of leaves, to a page after it.
fn wanted(depth: PagingDepth) -> VirtRange {
    range((upper(depth) | 1 << 39) - 0x1000, GIB + MIB2 + 0x2000)
}

/// Large leaves for the slots that lie within the range, apart from 1 GiB.
fn mixed(wanted: VirtRange) -> impl Fn(VirtRange, LeafSize) -> Choice {
    move |slot, size| match size {
        LeafSize::Size2MiB if wanted.contains_range(slot) => Choice::Place,
        _ => Choice::Smaller,
    }
}

#[test]
fn whichever_call_of_a_policy_unwinds() {
    for depth in DEPTHS {
        let wanted = wanted(depth);
        let unwound = every_call(|mut fuse| {
            let mut host = Host::new(depth);
            // A leaf that is there before, and next to it a table that the populate goes on to fill.
            let old = range(wanted.start().get() + GIB + 0x1000, 1);
            let _ = host.fill(old, LeafSize::Size4KiB);
            let before = host.snapshot();
            let has_ended = ends(|| {
                let policy = |slot, size| {
                    fuse.burn();
                    mixed(wanted)(slot, size)
                };
                let _ = host.populate(wanted, policy).unwrap();
            });
            host.check();
            if !has_ended {
                assert!(host.snapshot() == before, "something was left behind");
            }
            let _ = host.populate(wanted, mixed(wanted)).unwrap();
            has_ended
        });
        // The two slots of 1 GiB in which nothing was, and the slots of 2 MiB.
        assert_eq!(unwound, 2 + 1 + 512 + 1);
    }
}

#[test]
fn whichever_call_of_a_keeper_unwinds() {
    for depth in DEPTHS {
        // Three batches and a bit, with a large leaf in the middle.
        let wanted = range((upper(depth) | 1 << 39) - 50 * 0x1000, 50 * 0x1000 + MIB2 + 50 * 0x1000);
        for keep_every in [0, 1, 3] {
            let unwound = every_call(|mut fuse| {
                let mut host = Host::new(depth);
                let _ = host.populate(wanted, mixed(wanted)).unwrap();
                let (before, mut dropped) = (host.linked_leaves(), Vec::new());
                let has_ended = ends(|| {
                    let keep = |leaf: &Mapping| {
                        fuse.burn();
                        let number = leaf.range.start().get() >> 12;
                        if keep_every != 0 && number.is_multiple_of(keep_every) {
                            return Fate::Keep;
                        }
                        dropped.push(leaf.range.start().get());
                        Fate::Drop
                    };
                    let _ = host.unmap(wanted, keep).unwrap();
                });
                host.check();
                // Exactly those leaves are gone of which it was said.
                let mut left = before;
                left.retain(|at, _| !dropped.contains(at));
                assert!(host.linked_leaves() == left);
                // And the next call takes up what this one left, empty tables too.
                let _ = host.empty(wanted);
                assert_eq!(host.nr_tables(), 1);
                has_ended
            });
            assert_eq!(unwound, 101);
        }
    }
}

/// A cleared entry that is not flushed is a translation that a processor may still use.
#[test]
fn addresses_get_other_memory_only_after_a_flush() {
    let mut host = Host::new(PagingDepth::Four);
    let all = range(upper(PagingDepth::Four), 3 * 0x1000);
    let _ = host.fill(all, LeafSize::Size4KiB);
    let mut fuse = Fuse { left: 2 };
    assert!(!ends(|| {
        let keep = |_: &Mapping| {
            fuse.burn();
            Fate::Drop
        };
        let _ = host.unmap(all, keep).unwrap();
    }));
    assert_eq!((host.linked_leaves().len(), host.nr_flushes), (1, 1));
    host.check();
    // The host would notice a leaf where its processor still holds another.
    let made = host.fill(all, LeafSize::Size4KiB);
    assert_eq!(made.leaves().total(), 2);
}

/// A mark that stays would let a later failure take back what another call was promised.
#[test]
fn a_failure_takes_nothing_that_a_success_gave() {
    let mut host = Host::new(PagingDepth::Four);
    let border = upper(PagingDepth::Four) + MIB2;
    let both = range(border - 0x1000, 0x2000);
    let mut fuse = Fuse { left: 2 };
    assert!(!ends(|| {
        let policy = |_, _| {
            fuse.burn();
            Choice::Smaller
        };
        let _ = host.populate(both, policy).unwrap();
    }));
    let first = range(border - 0x1000, 1);
    let made = host.fill(first, LeafSize::Size4KiB);
    assert_eq!(made.leaves().total(), 1);
    host.faults = Faults { leaf: Some(0), ..Faults::default() };
    let failed = host.populate(both, up_to(LeafSize::Size4KiB));
    assert!(matches!(failed, Err(PopulateError::OutOfMemory { .. })));
    assert_eq!(host.tree.mappings(&host, first).count(), 1);
}

/// What the environment does not take back while a call unwinds is counted like any other loss.
#[test]
fn losses_on_the_way_out_are_counted() {
    let mut host = Host::new(PagingDepth::Four);
    let all = range(upper(PagingDepth::Four), 0x3000);
    let (tree, mut lost, mut fuse) = (host.tree, LostBlocks::default(), Fuse { left: 1 });
    host.faults.refuses = true;
    assert!(!ends(|| {
        let policy = |_, _| {
            fuse.burn();
            Choice::Smaller
        };
        let _ = tree.populate(&mut host, NODE, all, policy, &mut lost).unwrap();
    }));
    // The tables of 1 GiB and of 2 MiB leaves.
    assert_eq!(lost.count(), 2);
    host.check();
}
