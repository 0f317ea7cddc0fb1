//! The array through a kernel's own mapper: a map of mappings, shown by the simulated machine.

mod kernel;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    LeafSize, MemoryModel, MemoryRange, MetadataMemory, Page, Pfn, PfnRange, SectionLoss, SectionNr,
    SectionShape, VirtAddr,
};
use sparsemem_fixture::{NODE, usual_machine};
use sparsemem_machine::{Access, HostRcu, Which, place, probe};
use sparsemem_vmemmap::{DynamicBase, KernelMapper, Mapper, Vmemmap};

use kernel::Kernel;

struct Readers;
type Model = Vmemmap<X86_64, Page, HostRcu<Readers>, DynamicBase, { X86_64::NR_ROOTS_LEN }, KernelMapper>;

fn up(large: Option<LeafSize>) -> (Kernel, Box<Model>) {
    let kernel = Kernel::on(&usual_machine(), large);
    let model = place::<Model>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe {
        model.placement().base().reserve(kernel.machine.window_ptr(), kernel.machine.window().count().get());
    };
    (kernel, model)
}

fn section(nr: u64) -> PfnRange {
    SectionNr::new(nr).frames::<X86_64>().unwrap()
}

/// Subsections `first..end` of section 2.
fn parts(first: u64, end: u64) -> PfnRange {
    let at = |nr| Pfn::new(section(2).start().get() + nr * X86_64::PAGES_PER_SUBSECTION);
    PfnRange::new(at(first), at(end)).unwrap()
}

fn is_readable(model: &Model, pfn: Pfn) -> bool {
    // SAFETY: the address is computed only; the host is asked about it.
    probe(unsafe { model.lookup_unchecked(pfn) }.as_ptr().cast()) == Access::Readable
}

#[test]
fn descriptors_come_and_go_through_the_kernels_mapper() {
    for (large, leaves) in [(Some(LeafSize::Size2MiB), 1), (None, 512)] {
        let (mut kernel, model) = up(large);
        let memory = [MemoryRange { frames: section(1), node: NODE }];
        let summary =
            model.write().unwrap().boot(&mut kernel, memory.into_iter(), &mut |event| panic!("{event:?}"));
        assert_eq!((summary.unwrap().sections, kernel.mappings.len()), (1, leaves));
        kernel.machine.finish_boot();
        // Parts of a section get pages, of which neighbours may need the same.
        model.write().unwrap().install(&mut kernel, parts(0, 2), NODE).unwrap();
        assert_eq!(kernel.mappings.len(), leaves + 16);
        let _ = model.write().unwrap().retire(&mut kernel, parts(0, 1)).unwrap();
        assert!(is_readable(&model, parts(1, 2).start()) && !is_readable(&model, parts(0, 1).start()));
        let _ = model.write().unwrap().retire(&mut kernel, parts(1, 2)).unwrap();
        assert_eq!(model.footprint().memmap_bytes, 2 << 20);
        assert_eq!(model.footprint().page_table_bytes, 0, "the kernel's tables are not counted");
        // Blocks of boot go back as what they were: the mapper says so.
        model.write().unwrap().set_offline(section(1)).unwrap();
        let retired = model.write().unwrap().retire(&mut kernel, section(1)).unwrap();
        assert!(retired.lost.is_empty());
        assert!(kernel.mappings.is_empty() && kernel.machine.balance().is_zero());
    }
}

/// Without marks in entries, a populate that fails removes the leaves that no valid frame needs: all of its own, and no
/// others.
#[test]
fn whatever_fails_nothing_is_left() {
    let (mut kernel, model) = up(Some(LeafSize::Size2MiB));
    model.write().unwrap().install(&mut kernel, parts(1, 2), NODE).unwrap();
    let (before, digest) = (kernel.mappings.clone(), kernel.machine.state_digest());
    for (which, count) in [(Which::Links, 16), (Which::Blocks, 16)] {
        for nth in 0..count {
            kernel.machine.faults().fail_nth(which, nth);
            let failed = model.write().unwrap().install(&mut kernel, parts(2, 4), NODE);
            assert!(failed.is_err(), "{which:?} {nth}");
            kernel.machine.faults().heal();
            assert_eq!((&kernel.mappings, kernel.machine.state_digest()), (&before, digest));
            assert!(is_readable(&model, parts(1, 2).start()));
        }
    }
}

#[test]
fn a_place_with_mappings_of_others_is_refused() {
    let (mut kernel, model) = up(None);
    let at = VirtAddr::new(kernel.machine.window().start().get() + (5 << 20));
    let block = kernel.alloc_zeroed(LeafSize::Size4KiB.layout(), NODE).unwrap();
    kernel.map(at, block.phys(), LeafSize::Size4KiB).unwrap();
    let refused = model.write().unwrap().install(&mut kernel, parts(0, 1), NODE).unwrap_err();
    let text = format!("{refused:?}");
    assert!(text.contains(&format!("{:?}", SectionLoss::PlaceShared { at })), "{text}");
    kernel.unmap(at, LeafSize::Size4KiB);
    model.write().unwrap().install(&mut kernel, parts(0, 1), NODE).unwrap();
    kernel.free(block).map_err(|refused| refused.error).unwrap();
}
