//! The bound of the array: which frames it has room for, what that costs, and when the memory goes back.

use std::sync::atomic::Ordering;

use sparsemem_bounded_array::ArrayModel;
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    BootError, BootEvent, BootModel as _, InstallError, MemoryModel, MemoryRange, NeverReclaim, Page, Pfn,
    PfnRange, SectionLoss, SectionShape as _,
};
use sparsemem_machine::HostRcu;

use super::{Model, NODE, boot, machine, memory, sections, subsections};

enum Readers {}
type Tested = Model<HostRcu<Readers>>;

/// True if the model refused an installation because its array, which is for these frames, has no room for it.
fn is_beyond(done: Result<(), InstallError>, bound: PfnRange) -> bool {
    let Err(InstallError::NoMetadata { why, lost, .. }) = done else { return false };
    assert!(why.to_string().contains("reserve room"), "{why}");
    lost.is_empty() && why == SectionLoss::BeyondArray { array: bound }
}

#[test]
fn memory_is_added_within_the_bound_only() {
    let (mut model, mut machine) = (Tested::new(), machine());
    model.write().unwrap().reserve(subsections(21, 1));
    boot(&model, &mut machine, &[memory(sections(2, 1))]);
    let before = machine.state_digest();
    let mut writer = model.write().unwrap();
    let bound = sections(2, 4);
    assert!(is_beyond(writer.install(&mut machine, sections(1, 1), NODE), bound));
    assert!(is_beyond(writer.install(&mut machine, sections(6, 1), NODE), bound));
    writer.install(&mut machine, sections(5, 1), NODE).unwrap();
    writer.install(&mut machine, sections(3, 1), NODE).unwrap();
    assert_eq!(machine.state_digest(), before, "an installation takes no memory");
    drop(writer);
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

#[test]
fn undoing_the_first_installation_gives_the_array_back() {
    let (model, mut machine) = (Tested::new(), machine());
    let before = machine.state_digest();
    let mut writer = model.write().unwrap();
    Tested::reserve(&mut writer, sections(1, 3));
    writer.install(&mut machine, sections(4, 1), NODE).unwrap();
    writer.install(&mut machine, sections(1, 1), NODE).unwrap();
    assert!(is_beyond(writer.install(&mut machine, sections(5, 1), NODE), sections(1, 4)));
    let undone = writer.undo_install(&mut machine, sections(1, 1)).unwrap();
    assert_eq!((undone.sections, undone.gone, undone.lost.is_empty()), (1, 1, true));
    assert_eq!(machine.balance().total().blocks, 1);
    assert!(writer.undo_install(&mut machine, sections(4, 1)).unwrap().lost.is_empty());
    assert_eq!(machine.state_digest(), before);
    writer.install(&mut machine, sections(7, 1), NODE).unwrap();
    assert!(writer.retire(&mut machine, sections(7, 1)).unwrap().lost.is_empty());
    assert_eq!(machine.state_digest(), before);
}

#[test]
fn a_descriptor_is_zero_when_its_frame_is_added_again() {
    let (mut model, mut machine) = (Tested::new(), machine());
    boot(&model, &mut machine, &[memory(sections(2, 1)), memory(sections(4, 1))]);
    let (frames, hole) = (sections(3, 1), subsections(8, 1));
    let word = |model: &Tested, pfn: Pfn| model.read().page(pfn).unwrap().private.load(Ordering::Relaxed);
    let mut writer = model.write().unwrap();
    for _ in 0..2 {
        writer.install(&mut machine, frames, NODE).unwrap();
        assert_eq!(word(&model, frames.start()), 0);
        model.read().page(frames.start()).unwrap().private.store(7, Ordering::Relaxed);
        assert!(writer.retire(&mut machine, frames).unwrap().lost.is_empty());
    }
    // A hole of an early section keeps its content: its frames are valid all the time.
    writer.set_offline(hole).unwrap();
    model.read().page(hole.start()).unwrap().private.store(7, Ordering::Relaxed);
    assert!(writer.retire(&mut machine, hole).unwrap().lost.is_empty());
    writer.install(&mut machine, hole, NODE).unwrap();
    assert_eq!(word(&model, hole.start()), 7);
    drop(writer);
    model.tear_down(&mut machine).unwrap();
}

#[test]
fn the_footprint_is_the_block() {
    let (mut model, mut machine) = (ArrayModel::<X86_64, Page, NeverReclaim, _>::new(), machine());
    let own = model.footprint();
    assert_eq!((own.table_bytes, own.total_bytes()), (size_of_val(&model) as u64, own.table_bytes));
    let section = X86_64::PAGES_PER_SECTION;
    let ram = |start, end| PfnRange::new(Pfn::new(start * section), Pfn::new(end * section)).unwrap();
    boot(&model, &mut machine, &[memory(ram(3, 4)), memory(ram(9, 10))]);
    let footprint = model.footprint();
    let block = machine.balance().total();
    assert_eq!((block.blocks, block.bytes), (1, footprint.total_bytes() - own.table_bytes));
    assert_eq!(footprint.memmap_bytes, 7 * section * 64, "holes have descriptors, too");
    assert_eq!(footprint.page_table_bytes, 0);
    model.tear_down(&mut machine).unwrap();
    assert_eq!(model.footprint(), own);
}

#[test]
fn a_boot_reports_what_it_leaves_out_and_is_done_once() {
    let (mut model, mut machine) = (Tested::new(), machine());
    assert_eq!(boot(&model, &mut machine, &[]).0.sections, 0);
    let beyond = PfnRange::new(Pfn::new(Tiny::MAX_PFN), Pfn::new(Tiny::MAX_PFN + 9)).unwrap();
    let (summary, events) = boot(&model, &mut machine, &[memory(beyond)]);
    assert_eq!((summary.sections, summary.beyond_maximum), (0, beyond.count()));
    let last = Pfn::new(Tiny::MAX_PFN - 1);
    assert_eq!(events, [BootEvent::BeyondMaximum { frames: beyond, last }]);
    assert!(machine.balance().is_zero(), "no RAM needs no array");
    let other = MemoryRange { frames: subsections(10, 4), node: sparsemem_core::NodeId::new(1) };
    let (summary, events) = boot(&model, &mut machine, &[memory(subsections(8, 2)), other]);
    assert_eq!((summary.sections, summary.runs), (2, 2));
    let section = subsections(8, 1).start().section::<Tiny>();
    assert_eq!(events, [BootEvent::SharedSection { section, first: NODE, also: other.node }]);
    let again = model.write().unwrap().boot(&mut machine, [other].into_iter(), &mut |_| {});
    assert_eq!(again, Err(BootError::AlreadyUp { present: section }));
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}
