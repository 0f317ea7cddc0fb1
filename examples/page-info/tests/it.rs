//! Boots over ordinary memory, on the model whose feature is on.

use core::sync::atomic::Ordering;
use sparsemem::{MemoryRange, NodeId, PagingDepth, Pfn, PfnRange, PhysAddr, PhysRange};
use sparsemem_environments::{DirectMap, PageTables};
use sparsemem_example_page_info::{PageInfo, boot, get_page_info, initialise_areas};

#[test]
fn areas_have_records_and_holes_have_none() {
    assert_eq!(size_of::<PageInfo>(), 16);
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(32 << 20)).unwrap();
    let layout = std::alloc::Layout::from_size_align(32 << 20, 2 << 20).unwrap();
    // SAFETY: the layout is not empty.
    let ram = unsafe { std::alloc::alloc_zeroed(layout) };
    let area = |start, end, node| MemoryRange {
        frames: PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap(),
        node: NodeId::new(node),
    };
    let areas = [area(1, 0x9f, 0), area(0x100, 0x1_0000, 0), area(0x1_8000, 0x2_4000, 1)];
    // SAFETY: the memory is leaked, and nobody else has it; its second page is a top-level table that no processor uses.
    unsafe {
        let map = DirectMap::new(ram.expose_provenance(), memory);
        let tables = PageTables::new(map, PhysAddr::new(4096), PagingDepth::Four, |_| ());
        boot(tables, &areas, |_| Some(PhysAddr::new(8192)));
    }
    if cfg!(feature = "vmemmap") {
        return; // no processor uses these page tables, so records can be found, but not touched
    }
    assert!(get_page_info(Pfn::new(0x100)).is_none(), "not before it is initialised");
    assert_eq!(initialise_areas(&areas), 0x9e + 0xff00 + 0xc000);
    let info: &'static PageInfo = get_page_info(Pfn::new(0x2_3fff)).unwrap();
    info.refcount.store(7, Ordering::Relaxed);
    assert_eq!(get_page_info(Pfn::new(0x2_3fff)).unwrap().refcount.load(Ordering::Relaxed), 7);
    for hole in [0, 0x9f, 0xff, 0x1_0000, 0x1_7fff, 0x2_4000, 0x3_0000] {
        assert!(get_page_info(Pfn::new(hole)).is_none(), "frame {hole:#x} is no RAM");
    }
}

/// The models that read no stamp ask for none: two words that know nothing of sections.
#[cfg(any(feature = "vmemmap", feature = "flat", feature = "compressed-index"))]
mod stampless {
    use sparsemem::{
        Config, MemoryModel, NeverReclaim, NoArray, PageDescriptor, Pfn, SectionNr, presets::X86_64,
    };

    #[derive(Debug)]
    pub struct Plain(#[allow(dead_code, reason = "its size counts")] [u64; 2]);

    // SAFETY: integers: zeros are valid, and nothing has to be dropped.
    unsafe impl PageDescriptor for Plain {
        unsafe fn initialise(&self, _: Pfn, _: SectionNr) {}
    }

    pub struct Kernel;
    impl Config for Kernel {
        type Geometry = X86_64;
        type Page = Plain;
        type Reclaim = NeverReclaim;
        type Array = NoArray;
    }

    sparsemem::declare! { static MODEL: Kernel; }

    #[test]
    fn a_record_without_a_stamp_is_enough() {
        assert!(MODEL.read().page(Pfn::new(0)).is_none());
    }
}
