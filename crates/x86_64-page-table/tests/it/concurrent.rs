//! Walks on other threads while one thread populates and unmaps.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LostBlocks, MetadataMemory, NodeId, Origin, OutOfMemory,
    PagingDepth, PhysAddr, PhysMap, Rejected, VirtAddr, VirtRange,
};
use sparsemem_page_table::{Fate, Mapping, PageTable, Walk};
use sparsemem_x86_64_page_table::X86_64;

use crate::host::{NODE, Table};
use crate::ranges::{BASE, MIB2, range, up_to};

const ROUNDS: usize = 300;
/// At most three tables a round, none of which is used again: walkers may be in it.
const TABLES: usize = 4 + 3 * ROUNDS;

/// One value for each thread, over the same tables.
struct Shared {
    tables: Arc<Vec<Table>>,
    nr_used: usize,
    /// The address at which the next leaf is going to be mapped.
    next_leaf: u64,
}

/// The memory that is always mapped at `at`, so that a walker knows what it may see.
fn memory_at(at: u64) -> PhysAddr {
    PhysAddr::new(at & 0xffff_ffff_f000)
}

fn is_right(leaf: &Mapping) -> bool {
    (leaf.phys, leaf.origin) == (memory_at(leaf.range.start().get()), Some(Origin::Runtime))
}

// SAFETY: tables live as long as any value does; nobody follows the pointer to a leaf.
unsafe impl PhysMap for Shared {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        let table = usize::try_from(at.get() >> 12).ok().and_then(|number| self.tables.get(number));
        table.map_or(NonNull::dangling(), Table::start)
    }

    fn virt_to_phys(&self, _: NonNull<u8>) -> Option<PhysAddr> {
        None
    }
}

// SAFETY: tables are zeroed and handed out once; only the writer allocates; nobody follows the pointer to a leaf.
unsafe impl MetadataMemory for Shared {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let phys = PhysAddr::new(u64::try_from(self.nr_used).unwrap() << 12);
        let table = self.tables.get(self.nr_used).ok_or(OutOfMemory::new(layout, node))?;
        self.nr_used += 1;
        // SAFETY: a table is a page of zeros, and this one was not handed out before.
        Ok(unsafe { Block::from_parts(table.start(), phys, layout, Origin::Boot) })
    }

    fn alloc_memmap(&mut self, layout: Layout, _: NodeId) -> Result<Block, OutOfMemory> {
        let phys = memory_at(self.next_leaf);
        self.next_leaf += layout.size() as u64;
        // SAFETY: nobody follows the pointer.
        Ok(unsafe { Block::from_parts(self.phys_to_virt(phys), phys, layout, Origin::Runtime) })
    }

    fn free(&mut self, _: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Ok(())
    }
}

// SAFETY: no processor walks these tables.
unsafe impl AddressSpace for Shared {
    fn root(&self) -> PhysAddr {
        PhysAddr::new(0)
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Four
    }

    fn flush(&mut self, _: VirtRange) {}
}

/// Walks until told to stop.
fn watch(mem: &Shared, tree: PageTable<X86_64>, is_over: &AtomicBool) {
    let (lasting, changing) = (VirtAddr::new(BASE + 5), VirtAddr::new(BASE + MIB2 + 5));
    while !is_over.load(Ordering::Relaxed) {
        let walk = tree.walk(mem, lasting);
        assert!(matches!(walk, Walk::Leaf(leaf) if is_right(&leaf)), "{walk:?}");
        match tree.walk(mem, changing) {
            Walk::Leaf(leaf) => assert!(is_right(&leaf)),
            other => assert!(matches!(other, Walk::Absent { .. })),
        }
        for leaf in tree.mappings(mem, range(BASE, 4 * MIB2)) {
            assert!(is_right(&leaf));
        }
    }
}

#[test]
fn walkers_see_whole_leaves_or_none() {
    let tables = Arc::new((0..TABLES).map(|_| Table::default()).collect::<Vec<_>>());
    let (mut mem, mut lost) =
        (Shared { tables: Arc::clone(&tables), nr_used: 1, next_leaf: BASE }, LostBlocks::default());
    // SAFETY: table 0 is the empty root in every value over these tables, which all outlive the handle; a table that goes
    // back is not used again.
    let tree = unsafe { PageTable::<X86_64>::new(mem.root(), mem.depth()) };
    let _ = tree.populate(&mut mem, NODE, range(BASE, 1), up_to(LeafSize::Size4KiB), &mut lost).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mem = Shared { tables: Arc::clone(&tables), nr_used: TABLES, next_leaf: 0 };
            let is_over = &is_over;
            scope.spawn(move || watch(&mem, tree, is_over));
        }
        for round in 0..ROUNDS {
            let max = if round % 2 == 0 { LeafSize::Size4KiB } else { LeafSize::Size2MiB };
            let wanted = range(BASE + MIB2, 2 * MIB2);
            mem.next_leaf = BASE + MIB2;
            let _ = tree.populate(&mut mem, NODE, wanted, up_to(max), &mut lost).unwrap();
            let _ = tree.unmap(&mut mem, wanted, |_| Fate::Drop, &mut lost).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(matches!(tree.walk(&mem, VirtAddr::new(BASE)), Walk::Leaf(_)));
    assert!(lost.is_empty());
}
