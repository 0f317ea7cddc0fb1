//! Random sequences of subsections that come and go, on all models, against sets of numbers.
//!
//! After every step each model has to be in exactly the state that the sets describe; after a refused or failed step,
//! in the state it had before, down to the free lists of the machine's allocators; and when everything is gone, so is
//! all metadata.

mod checked;
mod oracle;
mod shapes;

use proptest::prelude::*;
use sparsemem_core::presets::{Sparc64, Tiny, X86_64};
use sparsemem_core::{
    BootModel, Geometry, InstallModel, LeafSize, MarkModel, Page, RetireModel, SectionShape, SectionStamp,
    ZeroIsNew,
};
use sparsemem_fixture::{AnyModel, ArrayOver, Backend, Fixture, NODE, Wide, bytes, sections, usual_machine};
use sparsemem_machine::{HostRcu, Machine, MachineConfig};
use sparsemem_section::{FlatTable, RootedTable, SectionTable};

use checked::{Checked, Marked};
use oracle::{Span, Step, span, step};
use shapes::{Row, Solid};

struct Readers;
type Rcu = HostRcu<Readers>;

/// Runs one sequence on a model.
fn play<M>(mut checked: Checked<M>, steps: &[Step])
where
    M: BootModel<Machine, Page: Marked> + InstallModel<Machine> + MarkModel + RetireModel<Machine>,
{
    steps.iter().for_each(|step| checked.step(*step));
    checked.finish();
}

/// A virtual array over a table, booted.
fn array<T>(config: &MachineConfig, early: &[Span]) -> Checked<ArrayOver<T, Rcu>>
where
    T: SectionTable<Page: Marked + SectionStamp> + ZeroIsNew,
{
    Checked::boot(Fixture::array(config).unwrap(), early)
}

/// Runs one sequence on every model, and on a virtual array over a flat table.
fn run<G: Geometry, P: Marked + SectionStamp, const NR_SECTIONS: usize, const NR_ROOTS: usize>(
    early: &[Span],
    steps: &[Step],
) {
    for backend in Backend::ALL {
        let Fixture { model, machine } =
            Fixture::<AnyModel<G, P, Rcu, NR_SECTIONS, NR_ROOTS>>::usual(backend);
        play(Checked::boot(Fixture { model: Box::new(model), machine }, early), steps);
    }
    play(array::<FlatTable<G, P, NR_SECTIONS>>(&usual_machine(), early), steps);
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
        let booted = |largest| array::<GiantTable>(&roomy_machine().largest_leaf(largest), &early);
        let giant = booted(LeafSize::Size1GiB);
        prop_assert_eq!(giant.leaves(), [LeafSize::Size1GiB]);
        play(giant, &steps);
        // Where the processor has no such leaves, the same in small ones.
        play(booted(LeafSize::Size2MiB), &steps);
    }
}

/// A machine with room for 1 GiB leaves.
fn roomy_machine() -> MachineConfig {
    let mut config = usual_machine();
    config.memory = vec![(bytes::<X86_64>(sections::<X86_64>(0, 32)), NODE)];
    config.unmanaged.clear();
    config
}

/// A table of descriptors of 256 KiB.
type GiantTable = RootedTable<Row, Wide<{ (256 << 10) / 8 - 2 }>, { Row::NR_ROOTS_LEN }>;
