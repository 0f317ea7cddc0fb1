//! Descriptors in the memory that is being added, mapped by a kernel's own mapper.

mod kernel;

use sparsemem_altmap::{Altmap, AltmapSpec, FramePool, WithAltmap};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    ByteLen, InstallError, LeafSize, LostBlocks, MemoryModel, Origin, Page, PageCount, Pfn, PfnRange,
    PhysAddr, PhysRange, RetireError, Retired, SectionShape,
};
use sparsemem_fixture::{NODE, usual_machine};
use sparsemem_machine::{HostRcu, Which, place};
use sparsemem_vmemmap::{DynamicBase, KernelMapper, Mapper, Vmemmap};

use kernel::Kernel;

struct Readers;
type Model = Vmemmap<X86_64, Page, HostRcu<Readers>, DynamicBase, { X86_64::NR_ROOTS_LEN }, KernelMapper>;

const SECTION: u64 = X86_64::PAGES_PER_SECTION;
/// The first frame of memory that the machine's allocators do not have.
const DEVICE: u64 = 32 * SECTION;

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// Sections of the device.
fn device(first: u64, end: u64) -> PfnRange {
    frames(DEVICE + first * SECTION, DEVICE + end * SECTION)
}

fn up(large: Option<LeafSize>) -> (Kernel, Box<Model>) {
    let mut kernel = Kernel::on(&usual_machine(), large);
    kernel.machine.finish_boot();
    let model = place::<Model>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe {
        model.placement().base().reserve(kernel.machine.window_ptr(), kernel.machine.window().count().get());
    };
    (kernel, model)
}

/// Lends an altmap in the first frames of the device.
fn with_altmap(free: u64, use_it: impl FnOnce(&mut Altmap<'_, X86_64>)) {
    let spec = AltmapSpec::new(Pfn::new(DEVICE), PageCount::new(0), PageCount::new(free)).unwrap();
    let mut words = vec![0; usize::try_from(FramePool::words_needed(spec.free())).unwrap()];
    // SAFETY: the machine has the device's memory, and nobody else uses it.
    use_it(&mut unsafe { Altmap::claim(spec, &mut words) }.unwrap());
}

fn wrapped<'a, 'w>(
    kernel: &'a mut Kernel,
    altmap: &'a mut Altmap<'w, X86_64>,
) -> WithAltmap<'a, 'w, X86_64, Kernel> {
    // SAFETY: the machine's direct map is one mapping of all its memory, aligned as that is.
    unsafe { WithAltmap::new(kernel, altmap) }
}

/// Adds the first sections of the device, with their descriptors in the altmap.
fn add(kernel: &mut Kernel, model: &Model, altmap: &mut Altmap<'_, X86_64>, sections: u64) {
    let mut env = wrapped(kernel, altmap);
    for nr in 0..sections {
        model.write().unwrap().install(&mut env, device(nr, nr + 1), NODE).unwrap();
    }
}

fn retired(sections: u64, lost: LostBlocks) -> Result<Retired, RetireError> {
    Ok(Retired { sections, gone: sections, lost })
}

#[test]
fn descriptors_lie_in_the_added_memory_and_go_with_it() {
    for large in [Some(LeafSize::Size2MiB), None] {
        let (mut kernel, model) = up(large);
        with_altmap(4 * 512, |altmap| {
            let before = kernel.machine.balance();
            add(&mut kernel, &model, altmap, 2);
            assert_eq!(altmap.in_use(), PageCount::new(2 * 512));
            let inside = |to: &PhysAddr| altmap.spec().free_frames().contains(to.pfn::<X86_64>());
            assert!(kernel.mappings.values().all(|(to, _)| inside(to)), "{:?}", kernel.mappings);
            // Usages and a root are the kernel's.
            let taken = kernel.machine.balance().total().bytes - before.total().bytes;
            assert!((1..64 << 10).contains(&taken), "{taken} bytes of RAM");
            let mut env = wrapped(&mut kernel, altmap);
            assert_eq!(
                model.write().unwrap().retire(&mut env, device(0, 2)),
                retired(2, LostBlocks::default())
            );
            assert_eq!(altmap.in_use(), PageCount::new(0));
            assert!(kernel.mappings.is_empty());
        });
    }
}

/// What needs the memory is found without origins in entries: the kernel says which memory is an altmap's.
#[test]
fn memory_that_holds_descriptors_of_others_stays() {
    let (mut kernel, model) = up(Some(LeafSize::Size2MiB));
    with_altmap(4 * 512, |altmap| {
        add(&mut kernel, &model, altmap, 2);
        let mut env = wrapped(&mut kernel, altmap);
        let refused = RetireError::HoldsMemmap { frames: device(0, 1), needed_by: device(1, 2) };
        assert_eq!(model.write().unwrap().retire(&mut env, device(0, 1)), Err(refused));
        assert_eq!(model.write().unwrap().retire(&mut env, device(0, 2)), retired(2, LostBlocks::default()));
    });
}

/// Nothing is left of an addition that fails halfway, in the kernel's mappings, in the altmap and in RAM.
#[test]
fn whatever_fails_nothing_is_left() {
    // The altmap has room for one section's descriptors and half of another's; a mapping in the middle is refused; a usage is.
    for (free, refused) in
        [(512 + 256, None), (4 * 512, Some((Which::Links, 300))), (4 * 512, Some((Which::Blocks, 0)))]
    {
        let (mut kernel, model) = up(None);
        with_altmap(free, |altmap| {
            add(&mut kernel, &model, altmap, 1);
            let (mappings, balance) = (kernel.mappings.clone(), kernel.machine.balance());
            if let Some((which, nth)) = refused {
                kernel.machine.faults().fail_nth(which, nth);
            }
            let mut env = wrapped(&mut kernel, altmap);
            let failed = model.write().unwrap().install(&mut env, device(1, 2), NODE);
            assert!(!matches!(failed, Ok(_) | Err(InstallError::Frames(_))), "{refused:?}: {failed:?}");
            kernel.machine.faults().heal();
            assert_eq!((&kernel.mappings, altmap.in_use()), (&mappings, PageCount::new(512)), "{refused:?}");
            assert_eq!(kernel.machine.balance(), balance, "{refused:?}");
            let all = model.write().unwrap().retire(&mut wrapped(&mut kernel, altmap), device(0, 1));
            assert_eq!((all, altmap.in_use()), (retired(1, LostBlocks::default()), PageCount::new(0)));
        });
    }
}

/// Entries of a format know that their memory is an altmap's; here the kernel has to, or its allocator would be offered memory
/// of the device. It knows, so a removal without the altmap is refused.
#[test]
fn without_the_altmap_nothing_is_removed() {
    let (mut kernel, model) = up(Some(LeafSize::Size2MiB));
    with_altmap(4 * 512, |altmap| {
        add(&mut kernel, &model, altmap, 1);
        let first = PhysAddr::new(DEVICE * X86_64::PAGE_SIZE);
        assert_eq!(wrapped(&mut kernel, altmap).origin_of(first), Origin::Altmap);
        let (mappings, balance) = (kernel.mappings.clone(), kernel.machine.balance());
        let refused = model.write().unwrap().retire(&mut kernel, device(0, 1));
        let memory = PhysRange::from_start_count(first, ByteLen::new(2 << 20)).unwrap();
        assert_eq!(refused, Err(RetireError::OtherAltmap { frames: device(0, 1), memory }));
        assert_eq!((&kernel.mappings, kernel.machine.balance()), (&mappings, balance));
        let all = model.write().unwrap().retire(&mut wrapped(&mut kernel, altmap), device(0, 1));
        assert_eq!(all, retired(1, LostBlocks::default()));
        assert!(kernel.mappings.is_empty() && altmap.in_use() == PageCount::new(0));
    });
}
