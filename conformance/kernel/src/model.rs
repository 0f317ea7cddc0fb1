//! The model of this kernel: its type, its lookups as separate functions whose instructions the suite checks in the
//! image, and a drawing of memory and model.

use alloc::string::String;
use core::ptr::NonNull;

use sparsemem::{
    ArrayPlace, BootSummary, ByteLen, MemoryModel, NodeId, Page, Pfn, PfnRange, PhysRange, Reclaim,
    SectionShape, Selected, SubsectionIdx, VirtAddr, VirtRange, altmap::MemmapRule, selected_len,
};
use sparsemem_suite::{
    ArrayFacts, BringUp, ByAddress, Capabilities, Compounds, MemmapSource, MemoryBack, Reach, TableKind,
    Usages, WayBack, World,
};

use crate::arch::{Sizes, page_table};
use crate::glue::{Array, Guard, Kernel, MODEL, Readers};
use crate::say;
use crate::world::KernelWorld;

/// The type of the live model.
pub(crate) type Model = Selected<Kernel, { selected_len::<Kernel>() }>;

/// True if descriptors lie in one virtual array, which the model maps.
pub(crate) const HAS_ARRAY: bool = cfg!(feature = "vmemmap");

/// True if the model has descriptors for present sections only, and allocates them with each section.
pub(crate) const IS_SPARSE: bool = !cfg!(any(feature = "flat", feature = "compressed-index"));

/// The capabilities that a model of this type claims; `array` is the place of its virtual memmap, if it has one.
pub(crate) fn capabilities(array: ArrayFacts) -> Capabilities {
    // SAFETY: vmemmap and the arrays with a bound compute the frame from the address alone.
    let by_address = (HAS_ARRAY || !IS_SPARSE).then(|| WayBack::Address(unsafe { ByAddress::promise() }));
    let way_back = by_address.unwrap_or(WayBack::Stamp);
    if !IS_SPARSE {
        return Capabilities { way_back, ..Capabilities::LEAST };
    }
    let rule = if HAS_ARRAY { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
    Capabilities {
        reach: Reach::Everywhere,
        // The scenarios of the host show boots that wait; this subject has none.
        bring_up: BringUp::AtBoot,
        memory_back: MemoryBack::WithItsSection,
        memmaps: MemmapSource::AllocMemmap(rule),
        table: if cfg!(feature = "classic-sparse") { TableKind::Flat } else { TableKind::Rooted },
        way_back,
        array: HAS_ARRAY.then_some(array),
        compounds: if HAS_ARRAY { page_table::COMPOUNDS } else { Compounds::Refused },
        usages: Usages::PerSection,
    }
}

/// The virtual addresses of the live model's memmap, if it is an array.
pub(crate) fn array() -> Option<VirtRange> {
    let array = VirtRange::from_start_count(VirtAddr::new(Array::START), ByteLen::new(Array::BYTES));
    array.filter(|_| HAS_ARRAY)
}

/// The descriptor of a frame that is known to be valid.
///
/// # Safety
///
/// The frame is valid.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn kernel_lookup_unchecked(frame: u64) -> NonNull<Page> {
    // SAFETY: the caller's promise.
    unsafe { MODEL.lookup_unchecked(Pfn::new(frame)) }
}

/// The descriptor of a frame, if it has one. The caller holds the guard, usually for many lookups: counting readers
/// is the kernel's task, and not part of a lookup.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kernel_lookup(frame: u64, guard: &Guard) -> Option<NonNull<Page>> {
    MODEL.lookup_with(Pfn::new(frame), guard)
}

/// True if both lookups find the same descriptor for a frame, or the frame is not valid.
fn lookups_agree(frame: Pfn) -> bool {
    let guard = Readers::enter();
    // SAFETY: called only for a frame that was found valid, and nothing is removed while the guard is held.
    let unchecked = |_| unsafe { kernel_lookup_unchecked(frame.get()) };
    kernel_lookup(frame.get(), &guard).is_none_or(|page| page == unchecked(page))
}

/// Draws the machine's memory and the state of the model.
pub(crate) fn draw(memory: &[(PhysRange, NodeId)], summary: BootSummary, world: &KernelWorld) {
    say!("A kernel on {}, {:?} levels of page tables", MODEL.name(), world.depth());
    say!("");
    for (range, node) in memory {
        let kib = range.count().get() >> 10;
        say!("  RAM  {:#014x}..{:#014x}  {kib:>10} KiB  node {node}", range.start().get(), range.end().get());
    }
    say!("");
    say!("  sections of 128 MiB, a character per 2 MiB: # has memory, . has none");
    for nr in MODEL.present_sections() {
        let state = MODEL.section(nr);
        let character = |at| if state.subsections.contains(SubsectionIdx::new(at)) { '#' } else { '.' };
        say!("  {nr:>6}  {}", (0..64).map(character).collect::<String>());
    }
    let all = PfnRange::new(Pfn::new(0), Pfn::new(Sizes::MAX_PFN)).unwrap_or_default();
    let valid: u64 = MODEL.valid_ranges(all).map(|run| run.count().get()).sum();
    let ends = MODEL.valid_ranges(all).flat_map(|run| [run.start(), Pfn::new(run.end().get() - 1)]);
    let differ = ends.filter(|pfn| !lookups_agree(*pfn)).count();
    let balance = world.balance();
    say!("");
    say!("  {} sections in {} runs, {valid} frames with descriptors", summary.sections, summary.runs);
    say!("  checked and unchecked lookups differ at {differ} of their ends");
    say!("  metadata: {} blocks of {} bytes in all", balance.boot.blocks, balance.bytes());
}
