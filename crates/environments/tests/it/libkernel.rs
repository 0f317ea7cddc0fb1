//! The boot allocator of a real kernel, moss, from its crate: as a source of blocks, and of one block.

use std::alloc::Layout;

use libkernel::memory::address::{IdentityTranslator, PA};
use libkernel::memory::allocators::smalloc::{RegionList, Smalloc};
use libkernel::memory::region::PhysMemoryRegion;
use sparsemem_core::presets::Arm64Page4K;
use sparsemem_core::{
    BootModel, MemoryModel, MemoryRange, NeverReclaim, NodeId, Pfn, PhysAddr, PhysRange, SectionShape, Slot,
    SlotValue, StaticReader, initialise,
};
use sparsemem_environments::{BootArena, DirectMap, FrameEnvironment, FrameSource, SliceLedger};
use sparsemem_sparse_extreme::SparseExtreme;

/// A record whose zero bytes are nothing, as moss' own.
struct Record(&'static str, Pfn);

// SAFETY: it does not unwind.
unsafe impl SlotValue for Record {
    fn new(pfn: Pfn) -> Self {
        Self("free", pfn)
    }
}

type Model = SparseExtreme<Arm64Page4K, Slot<Record>, NeverReclaim, { Arm64Page4K::NR_ROOTS_LEN }>;

/// Moss' allocator, which takes blocks back.
struct Source<'s>(&'s mut Smalloc<IdentityTranslator>);

// SAFETY: smalloc reserves what it gives until it is freed; the memory is the test's.
unsafe impl FrameSource for Source<'_> {
    fn take(&mut self, layout: Layout, _: NodeId) -> Option<PhysAddr> {
        self.0.alloc(layout.size(), layout.align()).ok().map(|at| PhysAddr::new(at.value() as u64))
    }

    unsafe fn give_back(&mut self, at: PhysAddr, layout: Layout) {
        self.0.free(PA::from_value(usize::try_from(at.get()).unwrap()), layout.size()).unwrap();
    }
}

/// The allocator with 32 MiB of memory, at the addresses of this process.
fn smalloc() -> Smalloc<IdentityTranslator> {
    let list = || {
        let regions = vec![PhysMemoryRegion::new(PA::from_value(0), 0); 64];
        RegionList::new(64, Box::leak(regions.into_boxed_slice()).as_mut_ptr())
    };
    let mut smalloc = Smalloc::new(list(), list());
    // SAFETY: the layout is not empty.
    let ram = unsafe { std::alloc::alloc(Layout::from_size_align(32 << 20, 4096).unwrap()) };
    smalloc.add_memory(PhysMemoryRegion::new(PA::from_value(ram.expose_provenance()), 32 << 20)).unwrap();
    smalloc
}

/// The memory that the allocator knows, as ranges: its own iterator cannot be cloned.
fn ranges(smalloc: &Smalloc<IdentityTranslator>) -> Vec<MemoryRange> {
    let address = |at: PA| PhysAddr::new(at.value() as u64);
    let bytes = |it: PhysMemoryRegion| PhysRange::new(address(it.start_address()), address(it.end_address()));
    let range = |it| MemoryRange::from_bytes::<Arm64Page4K>(bytes(it).unwrap(), NodeId::new(0));
    smalloc.iter_memory().map(range).collect()
}

/// The map of this process: every address is its own.
fn map() -> DirectMap {
    let all = PhysRange::new(PhysAddr::new(0), PhysAddr::new(1 << 48)).unwrap();
    // SAFETY: memory is used where the allocator has it.
    unsafe { DirectMap::new(0, all) }
}

fn check(model: &'static Model, ram: &[MemoryRange]) {
    for range in ram {
        assert_eq!(initialise(model, range.frames), range.frames.count());
        let record = |pfn| StaticReader::new(model).page(pfn).and_then(Slot::as_ptr);
        let last = Pfn::new(range.frames.end().get() - 1);
        // SAFETY: the test has one thread.
        let found = unsafe { record(last).unwrap().as_ref() };
        assert_eq!((found.0, found.1), ("free", last));
        assert!(record(range.frames.end()).is_none(), "after RAM, in the same section or in none");
    }
}

#[test]
fn moss_hands_out_one_block() {
    let mut smalloc = smalloc();
    let (ram, model) = (ranges(&smalloc), Box::leak(Box::new(Model::new())));
    let bytes = model.boot_bytes(ram.iter().copied());
    let take = |bytes: sparsemem_core::ByteLen| {
        let block = smalloc.alloc(usize::try_from(bytes.get()).ok()?, 8).ok()?;
        Some(PhysAddr::new(block.value() as u64))
    };
    // SAFETY: the allocator gives the block to nobody else.
    let mut arena = unsafe { BootArena::new(map(), bytes, take) }.unwrap();
    let summary = model.write().unwrap().boot(&mut arena, ram.iter().copied(), &mut |_| ()).unwrap();
    assert!(summary.sections > 0 && summary.lost == 0);
    check(model, &ram);
}

#[test]
fn moss_hands_out_blocks_and_has_them_back() {
    let mut smalloc = smalloc();
    let free = |smalloc: &Smalloc<IdentityTranslator>| {
        smalloc.iter_free().map(|it| it.end_address().value() - it.start_address().value()).sum::<usize>()
    };
    let (ram, before, mut model) = (ranges(&smalloc), free(&smalloc), Model::new());
    let mut entries = [None; 16];
    // SAFETY: the map reaches all memory of the allocator.
    let env = unsafe { FrameEnvironment::new(Source(&mut smalloc), map(), SliceLedger::new(&mut entries)) };
    let mut env = env.of_boot();
    let summary = model.write().unwrap().boot(&mut env, ram.iter().copied(), &mut |_| ()).unwrap();
    assert!(summary.sections > 0 && summary.lost == 0);
    model.tear_down(&mut env).unwrap();
    assert_eq!(free(&smalloc), before);
}
