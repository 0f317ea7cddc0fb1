//! The virtual array on the page tables of every processor, with the geometry that Linux has there: parts of sections,
//! and memmaps smaller than a leaf and smaller than a page.

use sparsemem_aarch64_page_table::{Aarch64, End, Regime};
use sparsemem_core::presets::{Arm64Page4K, Arm64Page16K, Arm64Page64K, Riscv64 as Rv, X86_64 as Pc};
use sparsemem_core::{
    AddressSpace, CompoundOrder, Geometry, MemoryModel, Page, PageCount, PagingDepth, Pfn, PfnRange,
    PhysAddr, PhysRange, QuietDescriptors, ReadOnlyTails, RefoldError, SectionNr, SectionShape,
};
use sparsemem_fixture::{ArrayOver, Fixture, NODE};
use sparsemem_machine::{Access, HostRcu, Machine, MachineConfig, Processor, probe};
use sparsemem_page_table::{EntryFormat, InUse, Level};
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_section::{InRoots, RootedTable};
use sparsemem_x86_64_page_table::X86_64;

struct Readers;
type Model<G, F, const N: usize> = ArrayOver<RootedTable<G, Page, N, InRoots>, HostRcu<Readers>, F>;

/// The addresses of a process on arm64.
#[derive(Clone, Copy)]
struct Low<const PAGE: u32, const BITS: u32>;

impl<const PAGE: u32, const BITS: u32> Regime for Low<PAGE, BITS> {
    const PAGE_SHIFT: u32 = PAGE;
    const ADDRESS_BITS: u32 = BITS;
    const END: End = End::Low;
}

const fn arm(page_shift: u32, address_bits: u32) -> Processor {
    Processor::Aarch64 { page_shift, address_bits }
}

/// Runs a test for every format, at every depth whose addresses have room.
macro_rules! on_every_format {
    ($test:ident) => {{
        use PagingDepth::{Five, Four, Three, Two};
        const PC: usize = Pc::NR_ROOTS_LEN;
        const RV: usize = Rv::NR_ROOTS_LEN;
        const A4: usize = Arm64Page4K::NR_ROOTS_LEN;
        const A16: usize = Arm64Page16K::NR_ROOTS_LEN;
        const A64: usize = Arm64Page64K::NR_ROOTS_LEN;
        $test::<Pc, X86_64, PC>(Processor::X86_64, Four);
        $test::<Pc, X86_64, PC>(Processor::X86_64, Five);
        $test::<Rv, Riscv64, RV>(Processor::Riscv64, Three);
        $test::<Rv, Riscv64, RV>(Processor::Riscv64, Four);
        $test::<Rv, Riscv64, RV>(Processor::Riscv64, Five);
        $test::<Arm64Page4K, Aarch64<Low<12, 48>>, A4>(arm(12, 48), Three);
        $test::<Arm64Page4K, Aarch64<Low<12, 48>>, A4>(arm(12, 48), Four);
        $test::<Arm64Page4K, Aarch64<Low<12, 52>>, A4>(arm(12, 52), Five);
        $test::<Arm64Page16K, Aarch64<Low<14, 48>>, A16>(arm(14, 48), Two);
        $test::<Arm64Page16K, Aarch64<Low<14, 48>>, A16>(arm(14, 48), Three);
        $test::<Arm64Page16K, Aarch64<Low<14, 48>>, A16>(arm(14, 48), Four);
        $test::<Arm64Page16K, Aarch64<Low<14, 52>>, A16>(arm(14, 52), Four);
        $test::<Arm64Page64K, Aarch64<Low<16, 48>>, A64>(arm(16, 48), Two);
        $test::<Arm64Page64K, Aarch64<Low<16, 48>>, A64>(arm(16, 48), Three);
        $test::<Arm64Page64K, Aarch64<Low<16, 52>>, A64>(arm(16, 52), Three);
    }};
}

fn up<G: Geometry, F: EntryFormat, const N: usize>(
    processor: Processor,
    depth: PagingDepth,
) -> Fixture<Box<Model<G, F, N>>> {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(8 << 30)).unwrap();
    let config = MachineConfig::new().memory(memory, NODE).vmemmap_bytes(1 << 30);
    let mut up = Fixture::array(&config.processor(processor).depth(depth)).unwrap();
    up.machine.finish_boot();
    up
}

/// Subsection `nr` of section 5.
fn part<G: Geometry>(nr: u64) -> PfnRange {
    let first = section::<G>().start().get() + nr * G::PAGES_PER_SUBSECTION;
    PfnRange::new(Pfn::new(first), Pfn::new(first + G::PAGES_PER_SUBSECTION)).unwrap()
}

fn section<G: Geometry>() -> PfnRange {
    SectionNr::new(5).frames::<G>().unwrap()
}

/// True if the descriptors of both ends of a range can be read, as a program would.
fn is_mapped<M: MemoryModel>(model: &M, frames: PfnRange) -> bool {
    let ends = [frames.start(), Pfn::new(frames.end().get() - 1)];
    // SAFETY: the address is computed only; the host is asked about it.
    ends.iter().all(|pfn| probe(unsafe { model.lookup_unchecked(*pfn) }.as_ptr().cast()) == Access::Readable)
}

fn sizes(machine: &Machine) -> Vec<u64> {
    machine.mirrored().map(|leaf| leaf.size.bytes()).collect()
}

/// Linux on arm64, from 5.4 until 2025, mapped a subsection's descriptors with a block for the whole section, and removing the
/// subsection removed the block under the others. Here parts of sections get pages.
fn a_subsection_outlives_its_neighbours<G: Geometry, F: EntryFormat, const N: usize>(
    processor: Processor,
    depth: PagingDepth,
) {
    let Fixture { model, mut machine } = up::<G, F, N>(processor, depth);
    let page = 1 << F::BASE_SHIFT;
    for nr in [0, 1, 2] {
        model.write().unwrap().install(&mut machine, part::<G>(nr), NODE).unwrap();
    }
    assert!(sizes(&machine).iter().all(|size| *size == page), "{} {depth:?}: pages only", G::NAME);
    for nr in [0, 2] {
        let _ = model.write().unwrap().retire(&mut machine, part::<G>(nr)).unwrap();
        assert!(is_mapped(&*model, part::<G>(1)), "{} {depth:?}: descriptors of valid frames stay", G::NAME);
        assert_eq!(machine.mirror_matches_tables(), Ok(()));
    }
    model.write().unwrap().install(&mut machine, part::<G>(0), NODE).unwrap();
    assert!(is_mapped(&*model, part::<G>(0)));
    for nr in [1, 0] {
        let _ = model.write().unwrap().retire(&mut machine, part::<G>(nr)).unwrap();
    }
    assert_eq!((machine.mirror_matches_tables(), sizes(&machine)), (Ok(()), vec![]));
    assert!(machine.balance().is_zero(), "{} {depth:?}: every leaf and table is back", G::NAME);
}

#[test]
fn parts_of_sections_come_and_go_on_every_format() {
    on_every_format!(a_subsection_outlives_its_neighbours);
}

/// A section's memmap is one leaf of the second level where it fills more than half of one: 2 MiB where pages have 4 KiB.
/// Where they have 16 or 64 KiB the leaf is 32 or 512 MiB, the memmap has 512 KiB, and gets pages.
fn a_section_gets_the_leaves_that_it_fills<G: Geometry, F: EntryFormat, const N: usize>(
    processor: Processor,
    depth: PagingDepth,
) {
    let Fixture { model, mut machine } = up::<G, F, N>(processor, depth);
    model.write().unwrap().install(&mut machine, section::<G>(), NODE).unwrap();
    let memmap = section::<G>().count().get() * size_of::<Page>() as u64;
    let large = F::leaf_size(Level::PMD).unwrap().bytes();
    let leaf = if 2 * memmap > large { large } else { 1 << F::BASE_SHIFT };
    assert_eq!(sizes(&machine), vec![leaf; usize::try_from(memmap / leaf).unwrap()], "{} {depth:?}", G::NAME);
    let footprint = model.footprint();
    assert_eq!(footprint.memmap_bytes, memmap);
    assert!(footprint.page_table_bytes % (1 << F::BASE_SHIFT) == 0 && footprint.page_table_bytes > 0);
    assert!(is_mapped(&*model, section::<G>()));
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    let _ = model.write().unwrap().retire(&mut machine, section::<G>()).unwrap();
    assert!(machine.balance().is_zero() && machine.mirror_matches_tables().is_ok());
}

#[test]
fn whole_sections_get_leaves_of_the_processor() {
    on_every_format!(a_section_gets_the_leaves_that_it_fills);
}

/// Low addresses are few with two or three levels: the machine finds a window among them.
fn the_depth_is_the_environments<G: Geometry, F: EntryFormat, const N: usize>(
    processor: Processor,
    depth: PagingDepth,
) {
    let Fixture { machine, .. } = up::<G, F, N>(processor, depth);
    assert_eq!(machine.depth(), depth);
    let root = F::root(depth);
    assert!(root.is_canonical(machine.window().start()) && root.is_canonical(machine.window().end()));
}

#[test]
fn every_place_lies_within_the_addresses_of_its_root() {
    on_every_format!(the_depth_is_the_environments);
}

/// Compounds that fill all but a part of a section: a page for the head of each, and one for all tails.
fn compounds_are_folded<G: Geometry, F: EntryFormat, const N: usize>(
    processor: Processor,
    depth: PagingDepth,
) {
    let Fixture { model, mut machine } = up::<G, F, N>(processor, depth);
    let (page, own) = (1 << F::BASE_SHIFT, (1 << F::BASE_SHIFT) / size_of::<Page>() as u64);
    // Four pages of descriptors; a section has twice as many frames at least.
    let frames = PageCount::new((4 * own).max(G::PAGES_PER_SUBSECTION));
    // SAFETY: this test stores to no descriptor.
    let tails = unsafe { ReadOnlyTails::promise(CompoundOrder::of(frames).unwrap()) };
    let memory = PfnRange::from_start_count(section::<G>().start(), frames).unwrap();
    model.write().unwrap().install_compounds(&mut machine, memory, NODE, tails).unwrap();
    assert_eq!(machine.mirror_matches_tables(), Ok(()), "{} {depth:?}", G::NAME);
    let places: Vec<_> = machine.mirrored().map(|leaf| leaf.to).collect();
    let shared = places.iter().filter(|place| **place == places[1]).count();
    assert_eq!((places.len(), shared), (places.len(), places.len() - 1), "{} {depth:?}", G::NAME);
    assert!(sizes(&machine).iter().all(|size| *size == page));
    assert_eq!(sparsemem_core::initialise(&*model, memory).get(), own, "a store to a tail would fault");
    assert!(is_mapped(&*model, memory));
    let _ = model.write().unwrap().retire(&mut machine, memory).unwrap();
    assert!(machine.balance().is_zero() && machine.mirror_matches_tables().is_ok());
}

#[test]
fn compounds_are_folded_on_every_format() {
    on_every_format!(compounds_are_folded);
}

/// Memory that is up is folded and unfolded where the processor lets entries in use change; elsewhere nothing happens.
fn compounds_that_are_up_are_folded<G: Geometry, F: EntryFormat, const N: usize>(
    processor: Processor,
    depth: PagingDepth,
) {
    let Fixture { model, mut machine } = up::<G, F, N>(processor, depth);
    let own = (1 << F::BASE_SHIFT) / size_of::<Page>() as u64;
    let frames = PageCount::new((4 * own).max(G::PAGES_PER_SUBSECTION));
    // SAFETY: this test stores to no descriptor while it is folded.
    let tails = unsafe { ReadOnlyTails::promise(CompoundOrder::of(frames).unwrap()) };
    // SAFETY: nor while it is being folded.
    let quiet = unsafe { QuietDescriptors::promise(section::<G>()) };
    let memory = PfnRange::from_start_count(section::<G>().start(), frames).unwrap();
    model.write().unwrap().install(&mut machine, section::<G>(), NODE).unwrap();
    let before = (model.footprint(), machine.state_digest());
    let folded = model.write().unwrap().fold(&mut machine, memory, NODE, tails, quiet);
    assert_eq!(machine.mirror_matches_tables(), Ok(()), "{} {depth:?}", G::NAME);
    if F::IN_USE == InUse::BreaksFirst {
        assert_eq!(folded, Err(RefoldError::InUse));
        assert!(model.footprint() == before.0 && machine.state_digest() == before.1);
    } else {
        assert!(folded.unwrap().lost.is_empty() && model.footprint().memmap_bytes < before.0.memmap_bytes);
        assert_eq!(sparsemem_core::initialise(&*model, memory).get(), own, "a store to a tail would fault");
        let _ = model.write().unwrap().unfold(&mut machine, memory, NODE).unwrap();
        assert_eq!(model.footprint().memmap_bytes, before.0.memmap_bytes);
    }
    assert_eq!(sparsemem_core::initialise(&*model, memory), memory.count());
    let _ = model.write().unwrap().retire(&mut machine, section::<G>()).unwrap();
    assert!(machine.balance().is_zero() && machine.mirror_matches_tables().is_ok());
}

#[test]
fn compounds_that_are_up_are_folded_where_the_processor_allows_it() {
    on_every_format!(compounds_that_are_up_are_folded);
}
