//! Random populates and unmaps, with failures in between, against a map of pages.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sparsemem_core::{LeafSize, PagingDepth, VirtAddr, VirtRange};
use sparsemem_page_table::{Choice, Fate, Level, Mapping, Walk};

use crate::host::{Faults, Host};
use crate::ranges::{range, upper};

/// Slots of 2 MiB that are worked on: half of them before a boundary of PUD tables, half behind it.
const SLOTS: u64 = 6;
const PAGES: u64 = SLOTS * 512;

#[derive(Clone, Debug)]
enum Op {
    Populate { first: u64, count: u64, large: u64, faults: [Option<u32>; 3] },
    Unmap { first: u64, count: u64, keep_every: u64 },
}

/// The leaves that ought to be there: first page to frame and number of pages.
#[derive(Clone, Debug, Default)]
struct Oracle {
    leaves: BTreeMap<u64, (u64, u64)>,
}

impl Oracle {
    fn covering(&self, page: u64) -> Option<u64> {
        let (&first, &(_, count)) = self.leaves.range(..=page).next_back()?;
        (page < first + count).then_some(first)
    }

    /// A slot holds a table of small leaves exactly if it holds a small leaf.
    fn is_slot_empty(&self, slot: u64) -> bool {
        self.leaves.range(slot * 512..(slot + 1) * 512).next().is_none()
    }

    /// Adds what a populate has to make; returns the first pages of the new leaves and their lengths.
    fn populate(&mut self, first: u64, count: u64, large: u64) -> Vec<(u64, u64)> {
        let mut made = Vec::new();
        for page in first..first + count {
            if self.covering(page).is_some() {
                continue;
            }
            let slot = page / 512;
            let leaf = match self.is_slot_empty(slot) && large & 1 << slot != 0 {
                true => (slot * 512, 512),
                false => (page, 1),
            };
            self.leaves.insert(leaf.0, (0, leaf.1));
            made.push(leaf);
        }
        made
    }

    fn unmap(&mut self, first: u64, count: u64, keep_every: u64) {
        self.leaves.retain(|&leaf, &mut (_, pages)| {
            leaf + pages <= first || first + count <= leaf || stays(leaf, keep_every)
        });
    }

    /// Tables of each level that these leaves need; the root is always there.
    fn tables(&self, base_page: u64, depth: PagingDepth) -> Vec<usize> {
        let root = if depth == PagingDepth::Five { 5 } else { 4 };
        let count = |level: u8| {
            let below = if level == 1 { 1 } else { 512 };
            let small_enough = self.leaves.iter().filter(|&(_, &(_, pages))| pages <= below);
            let mut tables: Vec<_> =
                small_enough.map(|(page, _)| (base_page + page) >> (9 * level)).collect();
            tables.dedup();
            tables.len()
        };
        (1..root).map(count).chain([1]).collect()
    }
}

fn stays(leaf: u64, keep_every: u64) -> bool {
    keep_every != 0 && leaf % keep_every == 0
}

struct Run {
    host: Host,
    oracle: Oracle,
    base: u64,
}

impl Run {
    fn new(depth: PagingDepth) -> Self {
        let base = (upper(depth) | 1 << 39) - SLOTS / 2 * LeafSize::Size2MiB.bytes();
        Self { host: Host::new(depth), oracle: Oracle::default(), base }
    }

    /// Pages as a range, with ends inside the first and last page.
    fn bytes(&self, first: u64, count: u64) -> VirtRange {
        range(self.base + first * 4096 + 17, count * 4096 - 17 - 5)
    }

    fn slot(&self, at: VirtAddr) -> u64 {
        at.offset_from(VirtAddr::new(self.base)).unwrap().get() >> 21
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Populate { first, count, large, faults } => self.populate(first, count, large, faults),
            Op::Unmap { first, count, keep_every } => self.unmap(first, count, keep_every),
        }
        self.compare();
    }

    fn populate(&mut self, first: u64, count: u64, large: u64, [table, leaf, link]: [Option<u32>; 3]) {
        let (wanted, before) = (self.bytes(first, count), self.host.snapshot());
        let base = self.base;
        self.host.faults = Faults { table, leaf, link, ..Faults::default() };
        let made = self.host.populate(wanted, |slot, size| {
            let number = slot.start().get().wrapping_sub(base) >> 21;
            let is_wanted = size == LeafSize::Size2MiB && large & 1 << number != 0;
            if is_wanted { Choice::Place } else { Choice::Smaller }
        });
        let Ok(made) = made else {
            assert!(self.host.snapshot() == before);
            return;
        };
        // A large leaf that failed became small ones: take that from the tables, and check it was the only one.
        let large = if leaf.is_some() { self.large_now(large) } else { large };
        let expected = self.oracle.populate(first, count, large);
        assert_eq!(usize::try_from(made.leaves().total()).unwrap(), expected.len());
        for (page, _) in expected {
            let frame = self.host.linked_leaf(VirtAddr::new(base + page * 4096)).unwrap().frame;
            self.oracle.leaves.get_mut(&page).unwrap().0 = frame;
        }
    }

    /// The slots of `large` in which a large leaf is, and those in which nothing is.
    fn large_now(&self, large: u64) -> u64 {
        let small = self.host.linked_leaves().into_values().filter(|leaf| leaf.size == LeafSize::Size4KiB);
        let slots: u64 = small.fold(0, |slots, leaf| slots | 1 << self.slot(leaf.range.start()));
        let fell_back = slots & large & self.empty_before();
        assert!(fell_back.count_ones() <= 1);
        large & !slots
    }

    fn empty_before(&self) -> u64 {
        (0..SLOTS).filter(|&slot| self.oracle.is_slot_empty(slot)).fold(0, |slots, slot| slots | 1 << slot)
    }

    fn unmap(&mut self, first: u64, count: u64, keep_every: u64) {
        let (wanted, base) = (self.bytes(first, count), self.base);
        let page = |leaf: &Mapping| (leaf.range.start().get() - base) >> 12;
        let keep = |leaf: &Mapping| if stays(page(leaf), keep_every) { Fate::Keep } else { Fate::Drop };
        let _ = self.host.unmap(wanted, keep).unwrap();
        self.oracle.unmap(first, count, keep_every);
    }

    /// Walks, lists and counts against the oracle.
    fn compare(&self) {
        let tree = self.host.tree;
        let all = range(self.base, PAGES * 4096);
        let page = |leaf: &Mapping| (leaf.range.start().get() - self.base) >> 12;
        let entry = |leaf: Mapping| (page(&leaf), (leaf.phys.get(), leaf.size.bytes() >> 12));
        let listed: BTreeMap<_, _> = tree.mappings(&self.host, all).map(entry).collect();
        assert_eq!(listed, self.oracle.leaves);
        for page in (0..PAGES).step_by(37) {
            let at = VirtAddr::new(self.base + page * 4096 + 99);
            let first = match tree.walk(&self.host, at) {
                Walk::Leaf(leaf) => Some((leaf.range.start().get() - self.base) >> 12),
                Walk::Absent { hole, .. } => {
                    assert!(hole.contains(at) && tree.mappings(&self.host, hole).next().is_none());
                    None
                }
                Walk::NonCanonical => unreachable!(),
            };
            assert_eq!(first, self.oracle.covering(page));
        }
        self.compare_tables(all);
    }

    fn compare_tables(&self, all: VirtRange) {
        let depth = self.host.tree.depth();
        let counted = self.host.tree.table_pages(&self.host, all);
        let levels = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD];
        let counted = levels.map(|level| usize::try_from(counted.of(level)).unwrap());
        let expected = self.oracle.tables(self.base >> 12, depth);
        assert_eq!(counted[..expected.len()], expected[..]);
        assert_eq!(self.host.nr_tables(), expected.iter().sum::<usize>());
    }
}

fn pages() -> impl Strategy<Value = (u64, u64)> {
    let short = (0..PAGES, 1_u64..40);
    let long = (0..PAGES, 1..PAGES);
    prop_oneof![3 => short, 1 => long].prop_map(|(first, count)| (first, count.min(PAGES - first)))
}

fn fault() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![4 => Just(None), 1 => (0_u32..60).prop_map(Some)]
}

fn op() -> impl Strategy<Value = Op> {
    let populate = (pages(), 0_u64..1 << SLOTS, [fault(), fault(), fault()])
        .prop_map(|((first, count), large, faults)| Op::Populate { first, count, large, faults });
    let keep_every = prop_oneof![2 => Just(0), 1 => 1_u64..9, 1 => Just(1024)];
    let unmap =
        (pages(), keep_every).prop_map(|((first, count), keep_every)| Op::Unmap { first, count, keep_every });
    prop_oneof![3 => populate, 2 => unmap]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_do_what_a_map_does(
        depth in prop_oneof![Just(PagingDepth::Four), Just(PagingDepth::Five)],
        ops in prop::collection::vec(op(), 1..16),
    ) {
        let mut run = Run::new(depth);
        ops.iter().for_each(|op| run.apply(op));
        // And everything goes.
        run.unmap(0, PAGES, 0);
        prop_assert_eq!(run.host.nr_tables(), 1);
    }
}
