//! What cannot be undone is said, with all that is needed to deal with it.

mod common;

use common::greedy::Greedy;
use common::{Bench, Model, NODE, Op, Rcu, Scenario, Start, on_every_model, sections, subsections};
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::Tiny;
use sparsemem_core::{Page, SectionFlags, SectionNr, SectionShape};
use sparsemem_hotplug::{AddDeviceError, AddError, BlockSize, Kind, Limits, Plan, add, remove};
use sparsemem_machine::{Machine, MachineConfig, Which, place};

/// The second of two shared sections cannot be marked: the first one keeps its mark, and the error names it.
struct SecondMark;

impl Scenario for SecondMark {
    fn run<M: Model>(&self, start: Start<M>) {
        let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        let half = |section, first| subsections::<M::Geometry>(section, first, subs / 2);
        let early = [half(1, 0), half(2, subs / 2)];
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &early);
        let before = bench.snapshot();
        let device = subsections::<M::Geometry>(1, subs / 2, subs);
        // Two installations and one mark go well.
        bench.model.busy_after(3, 1);
        let result = bench.hotplug.add_device(&mut bench.machine, device, NODE, "device");
        bench.model.heal();
        let Err(AddDeviceError::Taint { section, tainted, undo, .. }) = result else { panic!("{result:?}") };
        assert_eq!((section.get(), tainted.map(SectionNr::get), undo), (2, Some(1), None));
        let mut after = bench.snapshot();
        after.sections[1].flags -= SectionFlags::TAINT_ZONE_DEVICE;
        assert_eq!(after, before);
        bench.apply(Op::AddDevice(device)).unwrap();
    }
}

#[test]
fn a_mark_that_stays_is_named() {
    on_every_model::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&SecondMark);
}

#[test]
fn blocks_that_are_not_taken_back_are_counted() {
    let memory = common::bytes::<Tiny>(sections::<Tiny>(0, 512));
    let machine = Machine::new(&MachineConfig::new().memory(memory, NODE)).unwrap();
    let mut env = Greedy(machine);
    env.0.finish_boot();
    let model = place::<ClassicSparse<Tiny, Page, Rcu, { Tiny::NR_SECTIONS_LEN }>>();
    let limits = Limits::new(BlockSize::SECTION);
    let plan = Plan::new(sections::<Tiny>(2, 3), NODE, Kind::Ram, &limits).unwrap();
    // A section takes a usage and a memmap; the third fails at its first block.
    env.0.faults().fail_nth(Which::All, 4);
    let error = add(&*model, &mut env, &plan).unwrap_err();
    let AddError::LostBlocks { section, lost, first, .. } = error else { panic!("{error}") };
    assert_eq!((section.get(), lost, first.is_some()), (4, 4, true));
    assert!(error.to_string().contains("4 metadata blocks were not taken back"), "{error}");
    add(&*model, &mut env, &plan).unwrap();
    let removed = remove(&*model, &mut env, &plan).unwrap();
    assert_eq!((removed.sections, removed.refused), (3, 6));
}
