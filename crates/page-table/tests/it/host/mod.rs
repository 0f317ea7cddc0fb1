//! Page tables in host memory, with a processor that remembers everything it was not told to forget.
//!
//! What the crate promises about order is checked where it would hurt: whatever was ever linked stays "in use by the
//! processor" until a flush covers it at a time when the tables no longer hold it. Freeing something in use fails.

mod check;
mod faults;

use std::collections::BTreeMap;
use std::ptr::NonNull;

use sparsemem_page_table::{
    Depth, LeafSize, LinkRefused, PageTable, PhysAddr, Table, TableMemory, Tag, TaggedFrame, VirtAddr,
    VirtRange,
};

pub(crate) use faults::Faults;

/// A leaf frame that is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LiveLeaf {
    size: LeafSize,
    tag: Tag,
}

pub(crate) struct Host {
    pub(crate) tree: PageTable,
    pub(crate) faults: Faults,
    /// How often each method was called.
    pub(crate) nr_leaf_allocs: u32,
    pub(crate) nr_table_allocs: u32,
    pub(crate) nr_flushes: u32,
    tables: BTreeMap<u64, (Tag, Box<Table>)>,
    leaves: BTreeMap<u64, LiveLeaf>,
    /// The next frame that nobody ever had: frames are not used twice.
    next_frame: u64,
    next_tag: u8,
    /// Leaves a processor may hold: where they start, how long they are, and their frames.
    tlb: BTreeMap<u64, (VirtRange, u64)>,
    /// Tables a processor may hold, and the addresses they translate.
    walk_cache: BTreeMap<u64, VirtRange>,
    is_walk_cache_old: bool,
    /// Another address space's copy of the root.
    root_copy: Vec<u64>,
}

impl Host {
    pub(crate) fn new(depth: Depth) -> Self {
        let root = 0x1000;
        let tables = BTreeMap::from([(root, (Tag::default(), Box::new(Table::new())))]);
        // SAFETY: the root is live in this host for as long as the host is there, and only this host's own test
        // works on it.
        let tree = unsafe { PageTable::new(PhysAddr::new(root), depth) };
        Self {
            tree,
            faults: Faults::default(),
            nr_leaf_allocs: 0,
            nr_table_allocs: 0,
            nr_flushes: 0,
            tables,
            leaves: BTreeMap::new(),
            next_frame: 0x2000,
            next_tag: 0,
            tlb: BTreeMap::new(),
            walk_cache: BTreeMap::new(),
            is_walk_cache_old: false,
            root_copy: vec![0; 512],
        }
    }

    fn take_frame(&mut self, size: LeafSize) -> TaggedFrame {
        let start = self.next_frame.next_multiple_of(size.bytes());
        self.next_frame = start + size.bytes();
        self.next_tag = (self.next_tag + 1) % 4;
        TaggedFrame { start: PhysAddr::new(start), tag: Tag::new(self.next_tag).unwrap() }
    }
}

// SAFETY: a table is a box of its own from `alloc_table` to `free_table`, zeroed; there is one value, used by one
// thread; a method that panics ends the test.
unsafe impl TableMemory for Host {
    fn table(&self, table: PhysAddr) -> NonNull<Table> {
        let (_, table) = self.tables.get(&table.as_u64()).expect("a table that is not live was asked for");
        NonNull::from(&**table)
    }

    fn alloc_table(&mut self) -> Option<TaggedFrame> {
        self.refresh_walk_cache();
        self.nr_table_allocs += 1;
        self.faults.before_table()?;
        let mut frame = self.take_frame(LeafSize::Size4KiB);
        if self.faults.misalign_table {
            frame.start = PhysAddr::new(frame.start.as_u64() + 0x800);
        }
        self.tables.insert(frame.start.as_u64(), (frame.tag, Box::new(Table::new())));
        self.is_walk_cache_old = true;
        Some(frame)
    }

    fn free_table(&mut self, frame: TaggedFrame) {
        self.refresh_walk_cache();
        let start = frame.start.as_u64();
        assert!(!self.walk_cache.contains_key(&start), "table {start:#x} freed while a walk may use it");
        assert!(!self.linked_tables().contains_key(&start), "table {start:#x} freed while linked");
        let (tag, _) = self.tables.remove(&start).expect("table freed twice");
        assert_eq!(tag, frame.tag, "table {start:#x} came from elsewhere");
    }

    fn alloc_leaf(&mut self, at: VirtAddr, size: LeafSize) -> Option<TaggedFrame> {
        self.refresh_walk_cache();
        assert!(at.is_aligned(size.bytes()));
        self.nr_leaf_allocs += 1;
        self.faults.before_leaf(size)?;
        let mut frame = self.take_frame(size);
        if self.faults.misalign_leaf == Some(size) {
            frame.start = PhysAddr::new(frame.start.as_u64() + size.bytes() / 2);
        }
        self.leaves.insert(frame.start.as_u64(), LiveLeaf { size, tag: frame.tag });
        Some(frame)
    }

    fn free_leaf(&mut self, frame: TaggedFrame, size: LeafSize) {
        let start = frame.start.as_u64();
        let in_use = self.tlb.values().any(|&(_, held)| held == start);
        assert!(!in_use, "leaf {start:#x} freed before it was flushed");
        assert_eq!(self.leaves.remove(&start), Some(LiveLeaf { size, tag: frame.tag }));
    }

    fn linked(&mut self, at: VirtAddr, frame: TaggedFrame, size: LeafSize) -> Result<(), LinkRefused> {
        self.assert_root_copy();
        assert_eq!(
            self.linked_leaf(at).map(|leaf| leaf.frame),
            Some(frame.start.as_u64()),
            "not visible yet"
        );
        let range = VirtRange::from_start_len(at, size.bytes()).unwrap();
        // Also a leaf that is refused was visible for a while.
        assert_eq!(self.tlb.insert(at.get(), (range, frame.start.as_u64())), None);
        self.faults.before_link().ok_or(LinkRefused)
    }

    fn flush(&mut self, range: VirtRange) {
        self.refresh_walk_cache();
        self.assert_root_copy();
        self.nr_flushes += 1;
        assert!(!range.is_empty());
        let linked = self.linked_leaves();
        assert!(!linked.values().any(|leaf| leaf.range.overlaps(range)), "{range} is flushed while mapped");
        let partly = |held: VirtRange| range.overlaps(held) && !range.contains_range(held);
        assert!(!self.tlb.values().any(|&(held, _)| partly(held)), "{range} cuts a leaf");
        self.tlb.retain(|_, &mut (held, _)| !range.contains_range(held));
        let still_linked = self.linked_tables();
        self.walk_cache.retain(|table, slot| still_linked.contains_key(table) || !slot.overlaps(range));
    }

    fn root_changed(&mut self, at: VirtAddr) {
        let shift = match self.tree.depth() {
            Depth::Four => 39,
            Depth::Five => 48,
        };
        let index = usize::try_from(at.get() >> shift & 511).unwrap();
        self.root_copy[index] = self.raw_root()[index];
    }
}
