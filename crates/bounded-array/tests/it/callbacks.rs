//! Callers who unwind or change their minds, and readers who stay: a model is up or down, and nothing between.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sparsemem_core::{
    BootEvent, BootModel as _, MemoryModel, MemoryRange, NodeId, PfnRange, SectionLoss, SectionNr,
};
use sparsemem_machine::HostRcu;

use super::{Model, NODE, boot, machine, memory, sections, subsections};

enum Readers {}
type Tested = Model<HostRcu<Readers>>;

#[test]
fn a_callback_that_unwinds_leaves_the_model_down() {
    let (mut model, mut machine) = (Tested::new(), machine());
    let ram = [memory(subsections(8, 2)), MemoryRange { frames: subsections(10, 4), node: NodeId::new(1) }];
    let before = machine.state_digest();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut refuse = |event: BootEvent| {
            assert!(!model.is_valid(subsections(8, 1).start()), "{event:?} during a boot");
            resume_unwind(Box::new("enough"));
        };
        model.write().unwrap().boot(&mut machine, ram.into_iter(), &mut refuse)
    }));
    assert!(unwound.is_err());
    assert_eq!((machine.state_digest(), model.next_present(SectionNr::new(0))), (before, None));
    assert_eq!(boot(&model, &mut machine, &ram).0.sections, 2);
    model.tear_down(&mut machine).unwrap();
}

/// An iterator whose copies disagree gets no array that is too small, and no section in silence.
#[test]
fn memory_that_changes_is_lost_by_name() {
    let (mut model, mut machine) = (Tested::new(), machine());
    let passes = Cell::new(0);
    let ram = (2..4).map(|nr| {
        passes.set(passes.get() + 1);
        // The array is made after the first passes; then the second section lies elsewhere.
        memory(sections(if nr == 3 && passes.get() > 3 { 7 } else { nr }, 1))
    });
    let mut events = Vec::new();
    let summary = model.write().unwrap().boot(&mut machine, ram, &mut |event| events.push(event)).unwrap();
    let section = SectionNr::new(7);
    let why = SectionLoss::BeyondArray { array: sections(2, 2) };
    assert_eq!((summary.sections, summary.lost), (1, 1), "{events:?} after {} passes", passes.get());
    assert_eq!(events, [BootEvent::SectionLost { section, why }]);
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

/// Installs some frames, retires some of them while a reader has their first descriptor, and retires the rest.
fn waits(installed: &[PfnRange], retired: PfnRange) {
    let (model, mut machine) = (Tested::new(), machine());
    let mut writer = model.write().unwrap();
    writer.reserve(sections(2, 2));
    installed.iter().for_each(|frames| writer.install(&mut machine, *frames, NODE).unwrap());
    let left = AtomicBool::new(false);
    let entered = Barrier::new(2);
    thread::scope(|threads| {
        threads.spawn(|| {
            let reader = model.read();
            assert!(reader.page(retired.start()).is_some());
            entered.wait();
            thread::sleep(Duration::from_millis(20));
            left.store(true, Ordering::SeqCst);
            drop(reader);
        });
        entered.wait();
        assert!(writer.retire(&mut machine, retired).unwrap().lost.is_empty());
        assert!(left.load(Ordering::SeqCst), "the reader was still there: {installed:?}");
    });
    for frames in installed {
        let rest = frames.split_at(retired.end()).1;
        assert!(rest.is_empty() || writer.retire(&mut machine, rest).unwrap().lost.is_empty());
    }
    assert!(machine.balance().is_zero());
}

/// Wherever frames stop being valid, although no memory may go back.
#[test]
fn retiring_waits_for_readers() {
    waits(&[sections(2, 1), sections(3, 1)], sections(2, 1));
    waits(&[sections(2, 1)], subsections(8, 1));
    waits(&[subsections(8, 1)], subsections(8, 1));
}
