//! A second reader of the tables, which shares no code with the crate, and what it finds.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use sparsemem_core::{LeafSize, PagingDepth, VirtAddr, VirtRange};

use super::Host;

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const FRESH: u64 = 1 << 58;

/// A leaf as the second reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) range: VirtRange,
    pub(crate) frame: u64,
    pub(crate) size: LeafSize,
    pub(crate) raw: u64,
}

/// The complete contents of all tables, and everything that is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    tables: BTreeMap<u64, Vec<u64>>,
    leaves: Vec<u64>,
    root_copy: Vec<u64>,
}

impl Host {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            tables: self.tables.keys().map(|&at| (at, self.raw(at))).collect(),
            leaves: self.leaves.keys().copied().collect(),
            root_copy: self.root_copy.clone(),
        }
    }

    /// Everything that has to hold between two operations.
    pub(crate) fn check(&self) {
        let (leaves, tables) = (self.linked_leaves(), self.linked_tables());
        let frames: Vec<_> = self.leaves.keys().copied().collect();
        let mut linked: Vec<_> = leaves.values().map(|leaf| leaf.frame).collect();
        linked.sort_unstable();
        assert_eq!(frames, linked, "leaves that are allocated, and those that are linked");
        assert!(self.tables.keys().eq(tables.keys()), "tables that are allocated, and those that are linked");
        let held: Vec<_> = self.tlb.iter().map(|(&at, &(_, frame))| (at, frame)).collect();
        let mapped: Vec<_> = leaves.iter().map(|(&at, leaf)| (at, leaf.frame)).collect();
        assert_eq!(held, mapped, "what the mirror holds, and what is mapped");
        let fresh = |at: &u64| self.raw(*at).iter().any(|raw| raw & FRESH != 0);
        assert!(!tables.keys().any(fresh), "a fresh bit was left behind");
        self.assert_root_copy();
    }

    /// Tables that are allocated, the root among them.
    pub(crate) fn nr_tables(&self) -> usize {
        self.tables.len()
    }

    /// All leaves, by address.
    pub(crate) fn linked_leaves(&self) -> BTreeMap<u64, Leaf> {
        let mut found = BTreeMap::new();
        self.scan(self.tree.root().get(), self.root_level(), 0, &mut |_, _| {}, &mut |leaf| {
            found.insert(leaf.range.start().get(), leaf);
        });
        found
    }

    /// The leaf that maps `at`, if any.
    pub(crate) fn linked_leaf(&self, at: VirtAddr) -> Option<Leaf> {
        let (mut table, mut level) = (self.tree.root().get(), self.root_level());
        loop {
            let index = usize::try_from(at.get() >> shift(level) & 511).unwrap();
            let raw = self.raw(table)[index];
            if raw & 1 == 0 {
                return None;
            }
            if let Some(size) = leaf_size(raw, level) {
                return Some(leaf(at.get() & !(size.bytes() - 1), raw, size));
            }
            (table, level) = (raw & ADDRESS, level - 1);
        }
    }

    /// The table on the way to `at` that can hold a leaf of `size`.
    pub(crate) fn table_of(&self, at: VirtAddr, size: LeafSize) -> u64 {
        let (mut table, mut level) = (self.tree.root().get(), self.root_level());
        while 1 << shift(level) > size.bytes() {
            let index = usize::try_from(at.get() >> shift(level) & 511).unwrap();
            (table, level) = (self.raw(table)[index] & ADDRESS, level - 1);
        }
        table
    }

    /// Overwrites one entry.
    pub(crate) fn poke(&mut self, table: u64, index: usize, raw: u64) {
        let entry = &self.table(table).0[index];
        entry.store(raw, Ordering::Relaxed);
        self.root_copy = self.raw_root();
        self.is_walk_cache_old = true;
    }

    pub(super) fn raw_root(&self) -> Vec<u64> {
        self.raw(self.tree.root().get())
    }

    pub(super) fn assert_root_copy(&self) {
        assert_eq!(self.root_copy, self.raw_root(), "the copy of the root is out of date");
    }

    /// All tables and the addresses they translate; the root too.
    pub(super) fn linked_tables(&self) -> BTreeMap<u64, VirtRange> {
        let mut found = BTreeMap::new();
        let mut note = |table, slot| assert_eq!(found.insert(table, slot), None, "table linked twice");
        self.scan(self.tree.root().get(), self.root_level(), 0, &mut note, &mut |_| {});
        found
    }

    /// A processor may have walked through every table that is linked by now.
    pub(super) fn refresh_walk_cache(&mut self) {
        if self.is_walk_cache_old {
            let tables = self.linked_tables();
            self.walk_cache.extend(tables);
            self.is_walk_cache_old = false;
        }
    }

    fn root_level(&self) -> u32 {
        if self.tree.depth() == PagingDepth::Five { 5 } else { 4 }
    }

    fn raw(&self, table: u64) -> Vec<u64> {
        self.table(table).0.iter().map(|entry| entry.load(Ordering::Acquire)).collect()
    }

    fn scan(
        &self,
        table: u64,
        level: u32,
        base: u64,
        on_table: &mut impl FnMut(u64, VirtRange),
        on_leaf: &mut impl FnMut(Leaf),
    ) {
        if level < self.root_level() {
            let len_bytes = 1 << shift(level + 1);
            on_table(table, clamped(base, len_bytes));
        } else {
            on_table(table, VirtRange::empty_at(VirtAddr::new(0)));
        }
        for (index, raw) in (0..).zip(self.raw(table)) {
            if raw & 1 == 0 {
                continue;
            }
            let at = canonical(base | index << shift(level), self.tree.depth());
            match leaf_size(raw, level) {
                Some(size) => on_leaf(leaf(at, raw, size)),
                None => self.scan(raw & ADDRESS, level - 1, at, on_table, on_leaf),
            }
        }
    }
}

fn shift(level: u32) -> u32 {
    12 + 9 * (level - 1)
}

fn leaf_size(raw: u64, level: u32) -> Option<LeafSize> {
    match (level, raw & 0x80) {
        (1, _) => Some(LeafSize::Size4KiB),
        (2, 0x80) => Some(LeafSize::Size2MiB),
        (3, 0x80) => Some(LeafSize::Size1GiB),
        _ => None,
    }
}

fn leaf(at: u64, raw: u64, size: LeafSize) -> Leaf {
    let range = clamped(at, size.bytes());
    Leaf { range, frame: raw & ADDRESS & !(size.bytes() - 1), size, raw }
}

/// The range of `len_bytes` from `at`, without the last byte of the address space.
fn clamped(at: u64, len_bytes: u64) -> VirtRange {
    VirtRange::new(VirtAddr::new(at), VirtAddr::new(at.saturating_add(len_bytes))).unwrap()
}

fn canonical(at: u64, depth: PagingDepth) -> u64 {
    let unused = if depth == PagingDepth::Five { 7 } else { 16 };
    let highest_used = at << unused >> 63;
    at << unused >> unused | highest_used.wrapping_neg() << (64 - unused)
}
