//! Too little memory: every allocation fails once, and nothing is left of the attempt.

use sparsemem_bounded_array::{ArrayModel, Straight};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootEvent, BootModel as _, InstallError, MemoryModel, NeverReclaim, Page, Pfn, PfnRange, SectionLoss,
    SectionNr, TearDownError,
};
use sparsemem_machine::{HostRcu, Which};

use super::{Model, NODE, boot, machine, memory, sections, subsections};

enum Readers {}
type Tested = Model<HostRcu<Readers>>;

/// The lost sections of some events, which have nothing else, and whose array was for `frames`.
fn lost(events: &[BootEvent], frames: PfnRange) -> Vec<u64> {
    let one = |event: &BootEvent| {
        let BootEvent::SectionLost { section, why } = *event else { panic!("{event:?}") };
        assert!(matches!(why, SectionLoss::Array { frames: whole, .. } if whole == frames), "{why}");
        assert!(why.out_of_memory().is_some() && why.to_string().contains("reserve less"), "{why}");
        section.get()
    };
    events.iter().map(one).collect()
}

#[test]
fn without_an_array_every_section_is_lost_once() {
    let (mut model, mut machine) = (Tested::new(), machine());
    // The second section is in two ranges, and in a third that overlaps.
    let ram = [subsections(9, 4), subsections(13, 1), sections(2, 2), subsections(24, 1)].map(memory);
    let before = machine.state_digest();
    machine.faults().fail_nth(Which::All, 0);
    let (summary, events) = boot(&model, &mut machine, &ram);
    assert_eq!(lost(&events, sections(2, 5)), [2, 3, 6]);
    assert_eq!((summary.sections, summary.runs, summary.lost), (0, 0, 3));
    assert_eq!(machine.state_digest(), before);
    assert_eq!(model.next_present(SectionNr::new(0)), None);
    let requests = machine.faults().seen();
    let (summary, _) = boot(&model, &mut machine, &ram);
    assert_eq!((summary.sections, summary.lost, machine.faults().seen()), (3, 0, requests + 1));
    model.tear_down(&mut machine).unwrap();
    assert_eq!(machine.state_digest(), before);
}

/// One section at each end of the address space: 64 TiB of frames take a TiB of descriptors.
#[test]
fn a_span_that_is_too_wide_is_refused_by_name() {
    let (model, mut machine) = (ArrayModel::<X86_64, Page, NeverReclaim, Straight>::new(), machine());
    let low = PfnRange::new(Pfn::new(0), Pfn::new(512)).unwrap();
    let high = PfnRange::new(Pfn::new((1 << 34) - 512), Pfn::new(1 << 34)).unwrap();
    let whole = PfnRange::new(Pfn::new(0), Pfn::new(1 << 34)).unwrap();
    let (summary, events) = boot(&model, &mut machine, &[memory(low), memory(high)]);
    assert_eq!((lost(&events, whole), summary.lost), (vec![0, (1 << 19) - 1], 2));
    assert!(machine.balance().is_zero());
}

#[test]
fn an_installation_without_memory_leaves_nothing() {
    let (model, mut machine) = (Tested::new(), machine());
    let before = machine.state_digest();
    let mut writer = model.write().unwrap();
    machine.faults().fail_nth(Which::All, 0);
    let failed = writer.install(&mut machine, subsections(9, 1), NODE).unwrap_err();
    let InstallError::NoMetadata { frames, why, lost, .. } = failed else { panic!("{failed}") };
    assert_eq!((frames, lost.is_empty()), (subsections(9, 1), true));
    assert!(matches!(why, SectionLoss::Array { .. }), "{why}");
    assert_eq!((machine.state_digest(), model.next_present(SectionNr::new(0))), (before, None));
    writer.install(&mut machine, subsections(9, 1), NODE).unwrap();
    assert!(writer.retire(&mut machine, subsections(9, 1)).unwrap().lost.is_empty());
    assert_eq!(machine.state_digest(), before);
}

/// Another machine's allocator does not take the block: it is lost, and the model says so.
#[test]
fn a_block_that_is_refused_is_reported() {
    let (mut model, mut owner, mut other) = (Tested::new(), machine(), machine());
    boot(&model, &mut owner, &[memory(sections(2, 1))]);
    let torn_down = model.tear_down(&mut other);
    let Err(TearDownError::Lost { lost, section }) = torn_down else { panic!("{torn_down:?}") };
    assert_eq!((lost.count(), section), (1, SectionNr::new(2)));
    assert_eq!(model.next_present(SectionNr::new(0)), None);
    model.write().unwrap().install(&mut owner, sections(3, 1), NODE).unwrap();
    let retired = model.write().unwrap().retire(&mut other, sections(3, 1)).unwrap();
    assert_eq!((retired.gone, retired.lost.count()), (1, 1));
}
