//! Walks on other threads while one thread populates and unmaps.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sparsemem_page_table::{
    Depth, Fate, LeafSize, LinkRefused, PageTable, PhysAddr, Table, TableMemory, Tag, TaggedFrame, VirtAddr,
    VirtRange, Walk,
};

use crate::straddle::{range, up_to};

const BASE: u64 = 0xffff_ea00_0000_0000;
const MIB2: u64 = 2 << 20;
const ROUNDS: usize = 300;
/// At most three tables a round, none of which is used again: walkers may be in it.
const TABLES: usize = 4 + 3 * ROUNDS;

/// One value for each thread, over the same tables.
struct Shared {
    tables: Arc<Vec<Table>>,
    nr_used: usize,
}

/// The frame that is always mapped at `at`, so that a walker knows what it may see.
fn frame_at(at: VirtAddr) -> TaggedFrame {
    TaggedFrame { start: PhysAddr::new(at.get() & 0xffff_ffff_f000), tag: Tag::new(1).unwrap() }
}

// SAFETY: tables are zeroed, handed out once, and live as long as any value does; only the writer allocates.
unsafe impl TableMemory for Shared {
    fn table(&self, table: PhysAddr) -> NonNull<Table> {
        NonNull::from(&self.tables[usize::try_from(table.as_u64() >> 12).unwrap()])
    }

    fn alloc_table(&mut self) -> Option<TaggedFrame> {
        let start = PhysAddr::new(u64::try_from(self.nr_used).unwrap() << 12);
        self.nr_used += 1;
        (self.nr_used <= TABLES).then_some(TaggedFrame { start, tag: Tag::default() })
    }

    fn free_table(&mut self, _frame: TaggedFrame) {}

    fn alloc_leaf(&mut self, at: VirtAddr, _size: LeafSize) -> Option<TaggedFrame> {
        Some(frame_at(at))
    }

    fn free_leaf(&mut self, _frame: TaggedFrame, _size: LeafSize) {}

    fn linked(&mut self, _: VirtAddr, _: TaggedFrame, _: LeafSize) -> Result<(), LinkRefused> {
        Ok(())
    }

    fn flush(&mut self, _range: VirtRange) {}
}

/// Walks until told to stop.
fn watch(mem: &Shared, tree: PageTable, is_over: &AtomicBool) {
    let (lasting, changing) = (VirtAddr::new(BASE + 5), VirtAddr::new(BASE + MIB2 + 5));
    while !is_over.load(Ordering::Relaxed) {
        let walk = tree.walk(mem, lasting);
        assert!(matches!(walk, Walk::Leaf(leaf) if leaf.frame == frame_at(leaf.range.start())), "{walk:?}");
        match tree.walk(mem, changing) {
            Walk::Leaf(leaf) => assert_eq!(leaf.frame, frame_at(leaf.range.start())),
            other => assert!(matches!(other, Walk::Absent { .. })),
        }
        for leaf in tree.mappings(mem, range(BASE, 4 * MIB2)) {
            assert_eq!(leaf.frame, frame_at(leaf.range.start()));
        }
    }
}

#[test]
fn walkers_see_whole_leaves_or_none() {
    let tables = Arc::new((0..TABLES).map(|_| Table::new()).collect::<Vec<_>>());
    let mut mem = Shared { tables: Arc::clone(&tables), nr_used: 1 };
    // SAFETY: table 0 is the empty root in every value over these tables, which all outlive the handle.
    let tree = unsafe { PageTable::new(PhysAddr::new(0), Depth::Four) };
    let _ = tree.populate(&mut mem, range(BASE, 1), up_to(LeafSize::Size4KiB)).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mem = Shared { tables: Arc::clone(&tables), nr_used: 0 };
            let is_over = &is_over;
            scope.spawn(move || watch(&mem, tree, is_over));
        }
        for round in 0..ROUNDS {
            let max = if round % 2 == 0 { LeafSize::Size4KiB } else { LeafSize::Size2MiB };
            let wanted = range(BASE + MIB2, 2 * MIB2);
            let _ = tree.populate(&mut mem, wanted, up_to(max)).unwrap();
            let _ = tree.unmap(&mut mem, wanted, |_| Fate::Drop).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(matches!(tree.walk(&mem, VirtAddr::new(BASE)), Walk::Leaf(_)));
}
