//! Run-time environments: what a model takes from them comes back, and whatever is refused, nothing is lost.

use std::alloc::Layout;
use std::ptr::NonNull;

use buddy_system_allocator::FrameAllocator as BuddyAllocator;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, BootModel, CompleteModel, GracePeriod, MemoryModel, MemoryRange, MetadataMemory, NodeId, Origin,
    Page, PhysAddr, PhysMap, PhysRange, Reclaim, SectionShape,
};
use sparsemem_environments::{
    Buddy, DirectMap, FrameEnvironment, FrameSource, Given, Ledger, SliceLedger, StdHeap, X86Frames,
};
use sparsemem_fixture::{NODE, sections};
use sparsemem_sparse_extreme::SparseExtreme;
use x86_64::structures::paging::{FrameAllocator, FrameDeallocator, PageSize, PhysFrame, Size2MiB, Size4KiB};

/// Readers that cannot exist: every test here has one thread.
struct Alone;

// SAFETY: the test's one thread holds no guard when it waits.
unsafe impl Reclaim for Alone {
    type Guard = ();
    fn enter() {}
}

// SAFETY: as above.
unsafe impl GracePeriod for Alone {
    fn synchronize() {}
}

type Model = SparseExtreme<X86_64, Page, Alone, { X86_64::NR_ROOTS_LEN }>;

/// Bytes of the machine of these tests.
const BYTES: usize = 32 << 20;

/// Memory whose physical addresses begin at 0, and its map.
fn machine() -> DirectMap {
    let layout = Layout::from_size_align(BYTES, 2 << 20).unwrap();
    // SAFETY: the layout is not empty.
    let start = unsafe { std::alloc::alloc(layout) };
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(BYTES as u64)).unwrap();
    // SAFETY: the memory is leaked, and nobody else has it.
    unsafe { DirectMap::new(start.expose_provenance(), memory) }
}

/// A frame allocator as kernels on the crate `x86_64` have it: what is free of each size.
#[derive(Debug, Clone, PartialEq)]
struct Lists {
    small: Vec<u64>,
    large: Vec<u64>,
}

impl Lists {
    fn new() -> Self {
        let small = (1..64).map(|nr| nr << 12).collect();
        Self { small, large: (1..15).map(|nr| nr << 21).collect() }
    }
}

macro_rules! frame_lists {
    ($($size:ident $list:ident),*) => {$(
        // SAFETY: a frame is in its list only while nobody has it.
        unsafe impl FrameAllocator<$size> for Lists {
            fn allocate_frame(&mut self) -> Option<PhysFrame<$size>> {
                let at = x86_64::PhysAddr::new(self.$list.pop()?);
                Some(PhysFrame::from_start_address(at).unwrap())
            }
        }

        impl FrameDeallocator<$size> for Lists {
            unsafe fn deallocate_frame(&mut self, frame: PhysFrame<$size>) {
                assert_eq!(frame.size(), $size::SIZE);
                self.$list.push(frame.start_address().as_u64());
            }
        }
    )*};
}
frame_lists!(Size4KiB small, Size2MiB large);

/// A source that refuses the request of one number.
struct Refusing<S> {
    source: S,
    left: u64,
}

// SAFETY: the source keeps the contract.
unsafe impl<S: FrameSource> FrameSource for Refusing<S> {
    fn take(&mut self, layout: Layout, node: NodeId) -> Option<PhysAddr> {
        self.left = self.left.checked_sub(1)?;
        self.source.take(layout, node)
    }

    unsafe fn give_back(&mut self, at: PhysAddr, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.source.give_back(at, layout) };
    }
}

/// Adds three sections and removes them; the middle one's descriptors can be used.
fn comes_and_goes<E: MetadataMemory>(env: &mut E)
where
    Model: CompleteModel<E>,
{
    let model: &Model = Box::leak(Box::new(Model::new()));
    for nr in 0..3 {
        model.write().unwrap().install(env, sections::<X86_64>(nr, 1), NODE).unwrap();
    }
    let frame = sections::<X86_64>(1, 1).start();
    sparsemem_core::initialise(model, sections::<X86_64>(1, 1));
    let page = NonNull::from(model.read().page(frame).unwrap());
    // SAFETY: the frame is valid and its descriptor initialised.
    assert_eq!(unsafe { model.pfn_of(page) }, frame);
    let retired = model.write().unwrap().retire(env, sections::<X86_64>(0, 3)).unwrap();
    assert!(retired.lost.is_empty() && retired.sections == 3);
}

#[test]
fn frames_of_x86_64_come_back() {
    let (mut lists, mut entries) = (X86Frames(Lists::new()), [None; 16]);
    // SAFETY: the map reaches all memory of the lists.
    let mut env = unsafe { FrameEnvironment::new(&mut lists, machine(), SliceLedger::new(&mut entries)) };
    comes_and_goes(&mut env);
    let sorted = |mut list: Vec<u64>| {
        list.sort_unstable();
        list
    };
    let Lists { small, large } = lists.0;
    assert_eq!(Lists { small: sorted(small), large: sorted(large) }, Lists::new());
}

#[test]
fn frames_of_a_buddy_allocator_come_back() {
    let mut frames = BuddyAllocator::<32>::new();
    frames.add_frame(1, BYTES >> 12);
    // SAFETY: the frames are ours.
    let (buddy, mut entries) = (unsafe { Buddy::<X86_64, 32>::new(frames) }, [None; 16]);
    // SAFETY: the map reaches all memory of the allocator.
    let mut env = unsafe { FrameEnvironment::new(buddy, machine(), SliceLedger::new(&mut entries)) };
    comes_and_goes(&mut env);
    let all = Layout::from_size_align(BYTES / 2, BYTES / 2).unwrap();
    assert!(env.source().take(all, NODE).is_some(), "the upper half is one block again");
}

#[test]
fn a_heap_has_its_blocks_back() {
    let mut heap = StdHeap::default();
    comes_and_goes(&mut heap);
    assert_eq!(heap.blocks(), 0);
}

/// Whatever is refused, memory or room in the ledger, an installation changes nothing.
#[test]
fn every_refusal_leaves_everything_as_it_was() {
    let mut refused = 0;
    for (requests, room) in (0..4).map(|nr| (nr, 16)).chain((0..4).map(|nr| (u64::MAX, nr))) {
        let (mut lists, mut entries) = (X86Frames(Lists::new()), [None; 16]);
        let source = Refusing { source: &mut lists, left: requests };
        let ledger = SliceLedger::new(&mut entries[..room]);
        // SAFETY: the map reaches all memory of the lists.
        let mut env = unsafe { FrameEnvironment::new(source, machine(), ledger) };
        let model: &Model = Box::leak(Box::new(Model::new()));
        let installed = model.write().unwrap().install(&mut env, sections::<X86_64>(2, 1), NODE);
        if installed.is_ok() {
            continue;
        }
        refused += 1;
        assert!(!model.is_valid(sections::<X86_64>(2, 1).start()));
        let Lists { mut small, mut large } = lists.0;
        small.sort_unstable();
        large.sort_unstable();
        assert_eq!(Lists { small, large }, Lists::new(), "{requests} requests, room for {room}");
    }
    assert_eq!(refused, 6, "a root, a usage and a memmap, by either cause");
}

#[test]
fn blocks_of_others_are_refused() {
    let (map, mut entries) = (machine(), [None; 4]);
    let layout = Layout::from_size_align(64, 64).unwrap();
    // SAFETY: the map reaches all memory of the lists.
    let mut env =
        unsafe { FrameEnvironment::new(X86Frames(Lists::new()), map, SliceLedger::new(&mut entries)) };
    let block = |at: u64, origin| {
        let at = PhysAddr::new(at);
        // SAFETY: the memory is the test's, and no block of the environment's is there.
        unsafe { Block::from_parts(map.phys_to_virt(at), at, layout, origin) }
    };
    assert!(env.free(block(0x1000, Origin::Runtime)).is_err(), "never given");
    assert!(env.free(block(0x40_0000, Origin::Boot)).is_err(), "no boot was adopted");
    // SAFETY: nobody else has that memory.
    unsafe { env.adopt_boot(PhysRange::new(PhysAddr::new(0x40_0000), PhysAddr::new(0x60_0000)).unwrap()) };
    assert!(env.free(block(0x40_0000, Origin::Boot)).is_ok());
    assert!(env.free(block(0x60_0000, Origin::Boot)).is_err(), "after the boot's memory");
    assert!(env.free(block(0x40_0000, Origin::Altmap)).is_err());
    assert!(StdHeap::default().free(block(0x1000, Origin::Runtime)).is_err());
    let own = env.alloc_zeroed(layout, NODE).unwrap();
    let given = Given { at: own.phys(), layout };
    assert!(env.free(own).is_ok());
    assert!(!SliceLedger::new(&mut [None]).strike(given));
}

/// A boot allocator that goes upwards on each node, and takes nothing back.
struct Bump([std::ops::Range<u64>; 2]);

// SAFETY: the front of a range is given once.
unsafe impl FrameSource for Bump {
    fn take(&mut self, layout: Layout, node: NodeId) -> Option<PhysAddr> {
        let range = self.0.get_mut(node.get() as usize)?;
        let start = range.start.checked_next_multiple_of(layout.align() as u64)?;
        let end = start + layout.size() as u64;
        (end <= range.end).then(|| range.start = end).map(|()| PhysAddr::new(start))
    }

    unsafe fn give_back(&mut self, _: PhysAddr, _: Layout) {}
}

#[test]
fn a_boot_over_a_bump_allocator_has_its_metadata_on_each_node() {
    let (map, mut entries) = (machine(), [None; 16]);
    let bump = Bump([0x1000..16 << 20, 16 << 20..32 << 20]);
    // SAFETY: the map reaches all memory of the allocator.
    let env = unsafe { FrameEnvironment::new(bump, map, SliceLedger::new(&mut entries)) };
    let (mut env, mut model) = (env.of_boot(), Model::new());
    let ram = [(0, 0), (1, 1)].map(|(section, node)| MemoryRange {
        frames: sections::<X86_64>(section, 1),
        node: NodeId::new(node),
    });
    let summary = model.write().unwrap().boot(&mut env, ram.into_iter(), &mut |event| panic!("{event:?}"));
    assert_eq!(summary.unwrap().sections, 2);
    for range in ram {
        let page = model.lookup(range.frames.start()).unwrap();
        let node = env.virt_to_phys(page.cast()).unwrap().get() >> 24;
        assert_eq!(node, u64::from(range.node.get()));
    }
    assert_eq!(env.alloc_zeroed(Layout::new::<u64>(), NODE).unwrap().origin(), Origin::Boot);
    model.tear_down(&mut env).unwrap();
}
