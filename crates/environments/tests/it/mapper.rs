//! A virtual array that the kernel's own `OffsetPageTable` maps, in tables that no processor uses.

use std::alloc::Layout;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    ArrayPlace, BootModel, ByteLen, LeafSize, LinkRefused, MemoryModel, MemoryRange, NeverReclaim, NodeId,
    Origin, Page, PhysAddr, PhysRange, PlaceClaim, SectionLoss, SectionShape, VirtAddr,
};
use sparsemem_environments::{BootArena, DirectMap, OffsetMapper};
use sparsemem_fixture::sections;
use sparsemem_vmemmap::{ConstBase, KernelMapper, Mapped, Mapper, Vmemmap};
use x86_64::structures::paging::{FrameAllocator, OffsetPageTable, PageTable, PhysFrame, Size4KiB};

/// Declares a place and its model: each test needs its own.
macro_rules! place {
    ($place:ident, $model:ident) => {
        struct $place;

        // SAFETY: no processor uses the tables of these tests.
        unsafe impl ArrayPlace for $place {
            const START: u64 = 0xffff_ea00_0000_0000;
            const BYTES: u64 = 1 << 40;

            fn claim() -> &'static PlaceClaim {
                static CLAIM: PlaceClaim = PlaceClaim::new();
                &CLAIM
            }
        }

        type $model =
            Vmemmap<X86_64, Page, NeverReclaim, ConstBase<$place>, { X86_64::NR_ROOTS_LEN }, KernelMapper>;
    };
}

/// Frames for tables, and how many are left.
struct Tables {
    next: u64,
    left: u64,
}

// SAFETY: every frame is given once, of memory that nothing else uses.
unsafe impl FrameAllocator<Size4KiB> for Tables {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        self.left = self.left.checked_sub(1)?;
        self.next += 4096;
        PhysFrame::from_start_address(x86_64::PhysAddr::new(self.next)).ok()
    }
}

type Kernel = OffsetMapper<'static, Tables, BootArena<DirectMap>>;

/// A kernel with `tables` frames for tables, and `bytes` bytes for metadata, at 2 MiB.
fn kernel(tables: u64, bytes: u64) -> Kernel {
    // SAFETY: the layout is not empty.
    let ram = unsafe { std::alloc::alloc_zeroed(Layout::from_size_align(64 << 20, 2 << 20).unwrap()) };
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 20)).unwrap();
    // SAFETY: the memory is leaked, and nobody else has it.
    let map = unsafe { DirectMap::new(ram.expose_provenance(), memory) };
    // SAFETY: as above: the first page is the top-level table.
    let root = unsafe { &mut *ram.cast::<PageTable>() };
    // SAFETY: all tables lie in that memory.
    let page_table = unsafe { OffsetPageTable::new(root, x86_64::VirtAddr::from_ptr(ram)) };
    let take = |_| Some(PhysAddr::new(2 << 20));
    // SAFETY: tables are below 2 MiB.
    let arena = unsafe { BootArena::new(map, ByteLen::new(bytes), take) }.unwrap();
    // SAFETY: no processor uses the tables.
    unsafe { OffsetMapper::new(page_table, Tables { next: 0, left: tables }, arena, Origin::Boot, |_| ()) }
}

fn memory() -> [MemoryRange; 1] {
    [MemoryRange { frames: sections::<X86_64>(1, 2), node: NodeId::new(0) }]
}

#[test]
fn the_kernels_tables_lead_to_the_descriptors() {
    place!(Here, Model);
    let model: &Model = Box::leak(Box::new(Model::new()));
    let mut kernel = kernel(64, model.boot_bytes(memory().into_iter()).get());
    let complain = &mut |event| panic!("{event:?}");
    let summary = model.write().unwrap().boot(&mut kernel, memory().into_iter(), complain).unwrap();
    assert_eq!((summary.sections, summary.lost), (2, 0));
    let frame = sections::<X86_64>(2, 1).start();
    let at = VirtAddr::new(model.lookup(frame).unwrap().addr().get() as u64);
    let Mapped::Leaf { at: leaf, size, .. } = kernel.walk(at) else { panic!("{at} is not mapped") };
    assert_eq!((leaf, size), (at, LeafSize::Size2MiB));
    assert_eq!(
        kernel.walk(VirtAddr::new(Here::START)),
        Mapped::Hole { end: VirtAddr::new(Here::START + (2 << 20)) }
    );
    let after = VirtAddr::new(at.get() + (2 << 20));
    let Mapped::Hole { end } = kernel.walk(after) else { panic!("{after} is mapped") };
    assert_eq!(end, VirtAddr::new(after.get() + (2 << 20)), "the table of this GiB exists");
    let far = VirtAddr::new(Here::START + (3 << 30) + 4096);
    let Mapped::Hole { end } = kernel.walk(far) else { panic!("{far} is mapped") };
    assert!(end.get() >= Here::START + Here::BYTES, "one hole up to the end of the place, not a page: {end}");
}

/// With each number of tables, and too little memory, sections are lost, and mappings that failed are not there.
#[test]
fn whatever_the_kernel_refuses_is_not_mapped() {
    place!(Here, Model);
    let mut model = Model::new();
    let refused = SectionLoss::Mapping(LinkRefused { at: VirtAddr::new(Here::START + (2 << 20)) });
    for (tables, bytes) in [(0, 8 << 20), (1, 8 << 20), (0, 0), (8, 1 << 20)] {
        let mut kernel = kernel(tables, bytes);
        let mut losses = Vec::new();
        let mut note = |event| losses.push(event);
        let summary = model.write().unwrap().boot(&mut kernel, memory().into_iter(), &mut note).unwrap();
        assert_eq!(
            (summary.sections, summary.lost, losses.len()),
            (0, 2, 2),
            "{tables} tables, {bytes} bytes"
        );
        if bytes == 8 << 20 {
            let is_refused = |event: &_| matches!(event, sparsemem_core::BootEvent::SectionLost { why, .. } if *why == refused);
            assert!(losses.iter().any(is_refused), "{losses:?}");
        }
        assert!(matches!(kernel.walk(VirtAddr::new(Here::START + (2 << 20))), Mapped::Hole { .. }));
        model.tear_down(&mut kernel).unwrap();
    }
}

#[test]
fn pages_are_unmapped_one_by_one() {
    let (mut kernel, at) = (kernel(64, 4096), VirtAddr::new(0xffff_ea00_0040_0000));
    kernel.map(at, PhysAddr::new(0x40_0000), LeafSize::Size4KiB).unwrap();
    assert_eq!(kernel.map(at, PhysAddr::new(0x50_0000), LeafSize::Size4KiB), Err(LinkRefused { at }));
    assert_eq!(kernel.map(at, PhysAddr::new(0x60_0000), LeafSize::Size2MiB), Err(LinkRefused { at }));
    assert_eq!(kernel.map(at, PhysAddr::new(0), LeafSize::Size1GiB), Err(LinkRefused { at }));
    let leaf = Mapped::Leaf { at, to: PhysAddr::new(0x40_0000), size: LeafSize::Size4KiB };
    assert_eq!(kernel.walk(VirtAddr::new(at.get() + 0xfff)), leaf);
    assert_eq!(
        kernel.walk(VirtAddr::new(at.get() + 0x1000)),
        Mapped::Hole { end: VirtAddr::new(at.get() + 0x2000) }
    );
    kernel.unmap(at, LeafSize::Size4KiB);
    assert!(matches!(kernel.walk(at), Mapped::Hole { .. }));
}
