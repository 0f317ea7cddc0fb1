//! Random populates and unmaps, compared with a plain map of pages.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sparsemem_aarch64_page_table::Aarch64;
use sparsemem_core::{LeafSize, PagingDepth, VirtRange};
use sparsemem_machine::{Access, Machine, Which, probe};
use sparsemem_page_table::{Level, Walk};
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_x86_64_page_table::X86_64;

use super::{Low, Tested, each, machine, part, populate, size, tables, unmap};
use crate::common::{at, pointer};

/// A range near a border of slots of the second level: from some pages before or after one border to some after another.
#[derive(Clone, Copy, Debug)]
struct Place {
    border: u64,
    offset: i64,
    whole_slots: u64,
    pages: u64,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Populate(Place),
    /// Populates while the machine refuses the n-th request.
    Refused(Place, u64),
    Unmap(Place),
}

fn place() -> impl Strategy<Value = Place> {
    let slots = prop_oneof![4 => Just(0_u64), 1 => 1..3_u64];
    (1..4_u64, -6..6_i64, slots, 1..12_u64).prop_map(|(border, offset, whole_slots, pages)| Place {
        border,
        offset,
        whole_slots,
        pages,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => place().prop_map(Op::Populate),
        2 => (place(), 0..12_u64).prop_map(|(place, nth)| Op::Refused(place, nth)),
        3 => place().prop_map(Op::Unmap),
    ]
}

/// A machine, and the map that its tables have to agree with.
struct Run<F> {
    machine: Machine,
    /// The first page and the pages of the leaf that maps a page of the window.
    pages: BTreeMap<u64, (u64, u64)>,
    format: std::marker::PhantomData<F>,
}

impl<F: Tested> Run<F> {
    fn range(&self, place: Place) -> (u64, u64, VirtRange) {
        let in_slot = size::<F>(Level::PMD).bytes() >> F::BASE_SHIFT;
        let first = (place.border * in_slot).checked_add_signed(place.offset).unwrap();
        let count = place.whole_slots * in_slot + place.pages;
        let range = part(&self.machine, first << F::BASE_SHIFT, count << F::BASE_SHIFT);
        (first, first + count, range)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Populate(place) => {
                let (first, end, range) = self.range(place);
                let made = populate::<F, _>(&mut self.machine, range).unwrap();
                let leaves = self.fill(first, end);
                assert_eq!((made.leaves().total(), made.is_all_new()), (leaves.0, leaves.1 == 0));
            }
            Op::Refused(place, nth) => self.refused(place, nth),
            Op::Unmap(place) => {
                let (first, end, range) = self.range(place);
                let _ = unmap::<F, _>(&mut self.machine, range);
                let touched = |leaf: &(u64, u64)| leaf.0 < end && leaf.0 + leaf.1 > first;
                self.pages.retain(|_, leaf| !touched(leaf));
            }
        }
        self.compare();
    }

    /// A populate that fails changes nothing; one that could do with smaller leaves did.
    fn refused(&mut self, place: Place, nth: u64) {
        let (first, end, range) = self.range(place);
        let before = self.machine.state_digest();
        self.machine.faults().fail_nth(Which::All, nth);
        let result = populate::<F, _>(&mut self.machine, range);
        self.machine.faults().heal();
        if result.is_err() {
            assert_eq!(self.machine.state_digest(), before);
            return;
        }
        let old = self.pages.len();
        self.pages = self.mapped();
        assert!((first..end).all(|page| self.pages.contains_key(&page)) && self.pages.len() >= old);
    }

    /// Fills the map; returns the number of new leaves and of those that were there.
    fn fill(&mut self, first: u64, end: u64) -> (u64, u64) {
        let in_slot = size::<F>(Level::PMD).bytes() >> F::BASE_SHIFT;
        let (mut new, mut old, mut page) = (0, 0, first);
        while page < end {
            if let Some(&(start, count)) = self.pages.get(&page) {
                old += 1;
                page = start + count;
                continue;
            }
            let slot = page / in_slot * in_slot;
            let free = self.pages.range(slot..slot + in_slot).next().is_none();
            let leaf =
                if free && slot >= first && slot + in_slot <= end { (slot, in_slot) } else { (page, 1) };
            self.pages.extend((leaf.0..leaf.0 + leaf.1).map(|page| (page, leaf)));
            new += 1;
            page = leaf.0 + leaf.1;
        }
        (new, old)
    }

    /// The pages of the window that the tables map.
    fn mapped(&self) -> BTreeMap<u64, (u64, u64)> {
        let start = self.machine.window().start().get();
        let mut pages = BTreeMap::new();
        for leaf in tables::<F>(&self.machine).mappings(&self.machine, self.machine.window()) {
            let first = (leaf.range.start().get() - start) >> F::BASE_SHIFT;
            let count = leaf.size.bytes() >> F::BASE_SHIFT;
            pages.extend((first..first + count).map(|page| (page, (first, count))));
        }
        pages
    }

    /// Compares the walker, the machine's own reader, and what a program can access, with the map.
    fn compare(&self) {
        assert_eq!(self.machine.mirror_matches_tables(), Ok(()));
        assert_eq!(self.mapped(), self.pages);
        let leaves: Vec<_> = self.pages.iter().filter(|(page, leaf)| **page == leaf.0).collect();
        for (page, leaf) in leaves.iter().take(64) {
            let at = at(&self.machine, **page << F::BASE_SHIFT);
            let Walk::Leaf(walked) = tables::<F>(&self.machine).walk(&self.machine, at) else {
                panic!("{at} is mapped")
            };
            let read = self.machine.translate(at).unwrap().unwrap();
            assert_eq!((walked.range.start(), walked.phys, walked.size), (read.at, read.to, read.size));
            assert_eq!(LeafSize::bytes(read.size), leaf.1 << F::BASE_SHIFT);
            let last = ((leaf.0 + leaf.1) << F::BASE_SHIFT) - 1;
            assert_eq!(probe(pointer(&self.machine, last).as_ptr()), Access::Readable);
        }
    }
}

fn against_a_map<F: Tested>(depth: PagingDepth) {
    let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
    let ops = prop::collection::vec(op(), 1..12);
    let done = TestRunner::new(config).run(&ops, |ops| {
        let machine = machine::<F>(depth);
        let (pages, format) = (BTreeMap::new(), std::marker::PhantomData);
        let mut run = Run::<F> { machine, pages, format };
        ops.into_iter().for_each(|op| run.apply(op));
        // And everything goes.
        let all = run.machine.window();
        let _ = unmap::<F, _>(&mut run.machine, all);
        run.pages.clear();
        run.compare();
        prop_assert!(run.machine.balance().is_zero(), "no block is left: every table was given back");
        Ok(())
    });
    done.unwrap();
}

#[test]
fn tables_do_what_a_map_does() {
    each!(against_a_map);
}
