//! Random sequences of subsections that come and go, on all models, against sets of numbers.
//!
//! After every step each model has to be in exactly the state that the sets describe; after a refused or failed step,
//! in the state it had before, down to the free lists of the machine's allocators; and when everything is gone, so is
//! all metadata.

mod bench;
mod oracle;
mod shapes;

use proptest::prelude::*;
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::{Sparc64, Tiny, X86_64};
use sparsemem_core::{
    BootModel, Geometry, InstallModel, LeafSize, MarkModel, NodeId, Page, PhysAddr, PhysRange, RetireModel,
    SectionShape, SectionStamp, ZeroIsNew,
};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, place};
use sparsemem_section::{FlatTable, RootedTable, SectionTable, SparseModel};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, VirtualArray};

use bench::{Bench, Marked, Wide};
use oracle::{Span, Step, span, step};
use shapes::{Row, Solid};

struct Readers;
type Rcu = HostRcu<Readers>;

/// A machine whose memory is far larger than what the models are told of, so that metadata always has room.
fn machine(largest: LeafSize) -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(4 << 30)).unwrap();
    let config = MachineConfig::new().memory(memory, NodeId::new(0)).vmemmap_bytes(1 << 30);
    Machine::new(&config.largest_leaf(largest)).unwrap()
}

/// Runs one sequence on a model.
fn play<M>(mut bench: Bench<M>, steps: &[Step])
where
    M: BootModel<Machine, Page: Marked> + InstallModel<Machine> + MarkModel + RetireModel<Machine>,
{
    steps.iter().for_each(|step| bench.step(*step));
    bench.finish();
}

/// A virtual array over a table, booted.
fn array<T>(largest: LeafSize, early: &[Span]) -> Bench<SparseModel<T, VirtualArray<DynamicBase>, Rcu>>
where
    T: SectionTable<Page: Marked> + ZeroIsNew,
{
    let (machine, model) = (machine(largest), place::<SparseModel<T, VirtualArray<DynamicBase>, Rcu>>());
    let bytes = machine.window().count().get();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(machine.window_ptr(), bytes) };
    Bench::boot(model, machine, early)
}

/// Runs one sequence on a virtual array over either table.
fn run_arrays<G: Geometry, P: Marked, const NR_SECTIONS: usize, const NR_ROOTS: usize>(
    early: &[Span],
    steps: &[Step],
) {
    play(array::<RootedTable<G, P, NR_ROOTS>>(LeafSize::Size2MiB, early), steps);
    play(array::<FlatTable<G, P, NR_SECTIONS>>(LeafSize::Size2MiB, early), steps);
}

/// Runs one sequence on every model.
fn run<G: Geometry, P: Marked + SectionStamp, const NR_SECTIONS: usize, const NR_ROOTS: usize>(
    early: &[Span],
    steps: &[Step],
) {
    let machine = || machine(LeafSize::Size2MiB);
    play(Bench::boot(place::<ClassicSparse<G, P, Rcu, NR_SECTIONS>>(), machine(), early), steps);
    play(Bench::boot(place::<SparseExtreme<G, P, Rcu, NR_ROOTS>>(), machine(), early), steps);
    run_arrays::<G, P, NR_SECTIONS, NR_ROOTS>(early, steps);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Several sections' descriptors share a page: only the last of them may free it.
    #[test]
    fn tiny_sections(
        early in prop::collection::vec(span::<Tiny>(), 0..4),
        steps in prop::collection::vec(step::<Tiny>(), 1..40),
    ) {
        run::<Tiny, Page, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&early, &steps);
    }

    /// The geometry of a PC: base pages for subsections, 2 MiB for sections.
    #[test]
    fn pc_sections(
        early in prop::collection::vec(span::<X86_64>(), 0..3),
        steps in prop::collection::vec(step::<X86_64>(), 1..24),
    ) {
        run::<X86_64, Page, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(&early, &steps);
    }

    /// 56-byte descriptors, as a kernel without optional fields has them: a section's fill 448 pages, so that every
    /// 2 MiB leaf is shared by neighbours.
    #[test]
    fn pc_sections_of_odd_descriptors(
        early in prop::collection::vec(span::<X86_64>(), 0..3),
        steps in prop::collection::vec(step::<X86_64>(), 1..24),
    ) {
        run::<X86_64, Wide<5>, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(&early, &steps);
    }

    /// One subsection per section: every operation is the first and the last of its section.
    #[test]
    fn solid_sections(
        early in prop::collection::vec(span::<Solid>(), 0..4),
        steps in prop::collection::vec(step::<Solid>(), 1..40),
    ) {
        run::<Solid, Page, { Solid::NR_SECTIONS_LEN }, { Solid::NR_ROOTS_LEN }>(&early, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// 512 subsections per section, the most there can be: eight words of bits.
    #[test]
    fn long_sections(
        early in prop::collection::vec(span::<Sparc64>(), 0..3),
        steps in prop::collection::vec(step::<Sparc64>(), 1..16),
    ) {
        // The flat table of this geometry is 128 MiB of addresses, and few pages of memory.
        run::<Sparc64, Page, { Sparc64::NR_SECTIONS_LEN }, { Sparc64::NR_ROOTS_LEN }>(&early, &steps);
    }

    /// One 1 GiB leaf for all of memory: it stays until the last of eight sections is gone, and comes with none of them.
    #[test]
    fn giant_leaves(steps in prop::collection::vec(step::<Row>(), 1..12)) {
        let early: Vec<_> = (0..Row::NR_SECTIONS).map(|section| Span { section, first: 0, count: 4 }).collect();
        let bench = array::<GiantTable>(LeafSize::Size1GiB, &early);
        prop_assert_eq!(bench.leaves(), [LeafSize::Size1GiB]);
        play(bench, &steps);
        // Where the processor has no such leaves, the same in small ones.
        play(array::<GiantTable>(LeafSize::Size2MiB, &early), &steps);
    }
}

/// A table of descriptors of 256 KiB.
type GiantTable = RootedTable<Row, Wide<{ (256 << 10) / 8 - 2 }>, { Row::NR_ROOTS_LEN }>;
