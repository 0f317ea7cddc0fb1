//! Boots that fail, unwind or change their minds: the model is up with its map, or down without one.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootError, BootEvent, BootModel as _, MemoryModel, MemoryRange, Pfn, PfnRange, SectionLoss, SectionNr,
    SectionShape, TearDownError, initialise,
};
use sparsemem_fixture::{Backend, Env, NODE, on_every_backend, usual_machine};
use sparsemem_machine::{Machine, Which, place};

use super::{ExactWords, PcByFrame, are, boot, frames, memory, over};

const SECTION: u64 = X86_64::PAGES_PER_SECTION;

/// Holes of a page at the ends of two sections and in the middle of one.
fn ram() -> Vec<PfnRange> {
    vec![frames(1, 700), frames(701, SECTION - 1), frames(SECTION + 5, SECTION + 600)]
}

fn is_ram(frame: u64) -> bool {
    ram().iter().any(|range| range.contains(Pfn::new(frame)))
}

fn pc(backend: Backend) -> (PcByFrame, Machine) {
    over(backend, &usual_machine())
}

/// Compares the model with the memory of those sections that are not lost.
fn without<M: MemoryModel<Geometry = X86_64>>(model: &M, lost: &BTreeSet<SectionNr>) {
    let is_valid = |frame| is_ram(frame) && !lost.contains(&Pfn::new(frame).section::<X86_64>());
    initialise(model, frames(0, 3 * SECTION));
    are(model, (0..1024).chain(SECTION - 600..SECTION + 1024), &is_valid, &|_| true);
}

on_every_backend!(any_allocation_may_fail, nothing_is_left_of_a_boot_that_unwinds);

fn any_allocation_may_fail(backend: Backend) {
    let mut granted = 0;
    loop {
        let (mut model, mut machine) = pc(backend);
        let before = machine.state_digest();
        machine.faults().fail_nth(Which::All, granted);
        let (summary, events) = boot(&model, &mut machine, &memory(&ram()));
        machine.faults().heal();
        let lost: BTreeSet<_> = events
            .iter()
            .map(|event| match event {
                BootEvent::SectionLost { section, .. } => *section,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(summary.lost, lost.len() as u64);
        if granted == 0 {
            assert_eq!((summary.sections, lost.len()), (0, 2), "no map, no section");
            assert_eq!(machine.state_digest(), before);
            let Some(BootEvent::SectionLost { why: SectionLoss::Holes { frames: of, why }, .. }) =
                events.first()
            else {
                panic!("{events:?}")
            };
            assert_eq!((*of, why.node), (frames(0, 2 * SECTION), NODE));
        }
        without(&model, &lost);
        // Where a section is lost, what comes later is whole.
        let late = frames(SECTION, SECTION + 512);
        let has_come = lost.contains(&SectionNr::new(1))
            && model.write().unwrap().install(&mut machine, late, NODE).is_ok();
        assert!(!has_come || model.valid_ranges(late).eq([late]), "{lost:?}");
        model.tear_down(&mut machine).unwrap();
        assert_eq!(machine.state_digest(), before);
        if lost.is_empty() {
            break;
        }
        granted += 1;
    }
    assert!(granted >= 2, "the map and an array at least");
}

fn nothing_is_left_of_a_boot_that_unwinds(backend: Backend) {
    let (mut model, mut machine) = pc(backend);
    let before = machine.state_digest();
    // Frames beyond the maximum are reported while sections are marked.
    let mut memory = memory(&ram());
    memory.push(MemoryRange { frames: frames(X86_64::MAX_PFN, X86_64::MAX_PFN + 9), node: NODE });
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut refuse = |_| resume_unwind(Box::new("enough"));
        model.write().unwrap().boot(&mut machine, memory.iter().copied(), &mut refuse)
    }));
    assert!(unwound.is_err());
    assert_eq!(model.next_present(SectionNr::new(0)), None);
    // Roots of tables may stay until then.
    model.tear_down(&mut machine).unwrap();
    assert_eq!(machine.state_digest(), before);
    assert_eq!(boot(&model, &mut machine, &memory).0.sections, 2);
    without(&model, &BTreeSet::new());
    model.tear_down(&mut machine).unwrap();
}

/// A callback that unwinds when sections are up leaves the others up, with the map.
#[test]
fn a_boot_that_unwinds_late_has_its_map() {
    let (mut model, mut machine) = pc(Backend::SparseExtreme);
    // The last request is for the second section's descriptors.
    let mut probe = pc(Backend::SparseExtreme);
    boot(&probe.0, &mut probe.1, &memory(&ram()));
    let requests = probe.1.faults().seen();
    probe.0.tear_down(&mut probe.1).unwrap();
    machine.faults().fail_nth(Which::All, requests - 1);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut refuse = |_| resume_unwind(Box::new("enough"));
        model.write().unwrap().boot(&mut machine, memory(&ram()).into_iter(), &mut refuse)
    }));
    assert!(unwound.is_err());
    without(&model, &[SectionNr::new(1)].into());
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

/// The model inside refuses after the map was made.
#[test]
fn a_boot_that_is_refused_inside_leaves_no_map() {
    let (model, mut machine) = pc(Backend::Flat);
    let before = machine.state_digest();
    let requests = machine.faults().seen();
    let refused =
        model.write().unwrap().boot_deferred(&mut machine, memory(&ram()).into_iter(), &mut |_| panic!());
    assert!(matches!(refused, Err(BootError::CannotDefer { .. })), "{refused:?}");
    assert_eq!((machine.faults().seen() - requests, machine.state_digest()), (1, before));
}

#[test]
fn a_refused_boot_changes_nothing() {
    let (mut model, mut machine) = pc(Backend::SparseExtreme);
    let before = machine.state_digest();
    let nothing = boot(&model, &mut machine, &memory(&[frames(7, 7)]));
    assert_eq!((nothing.0.sections, nothing.1.len(), machine.state_digest()), (0, 0, before));
    boot(&model, &mut machine, &memory(&ram()));
    let up = machine.state_digest();
    let again = model.write().unwrap().boot(&mut machine, memory(&ram()).into_iter(), &mut |_| ());
    assert_eq!(again, Err(BootError::AlreadyUp { present: SectionNr::new(0) }));
    assert_eq!(machine.state_digest(), up);
    without(&model, &BTreeSet::new());
    model.tear_down(&mut machine).unwrap();
}

/// Ranges that the map has no room for stay holes, and nothing else happens.
#[test]
fn an_iterator_that_changes_its_mind_does_no_harm() {
    let (mut model, mut machine) = pc(Backend::SparseExtreme);
    let passes = Cell::new(0);
    let changing = (0..3_u64).map(|range| {
        passes.set(passes.get() + 1);
        // The first passes see whole subsections, so that there is room for no edge; later ones see ends within.
        let inside = if passes.get() > 6 { 5 } else { 0 };
        MemoryRange { frames: frames(range * 1024 + inside, range * 1024 + 512), node: NODE }
    });
    model.write().unwrap().boot(&mut machine, changing, &mut |event| panic!("{event:?}")).unwrap();
    assert!(passes.get() > 6, "{passes:?}");
    let valid: Vec<_> = model.valid_ranges(frames(0, SECTION)).collect();
    assert!(valid.iter().all(|run| run.count().get() % 512 == 0), "{valid:?}");
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

/// An environment that takes nothing back: every block that is lost is counted, the map too.
#[test]
fn a_map_that_is_refused_is_reported() {
    let blocks = |takes_back: u64| {
        let (mut model, mut env) = (place::<ExactWords>(), Env::new());
        let mut writer = model.write().unwrap();
        writer
            .boot(&mut env, memory(&[frames(3, 600)]).into_iter(), &mut |event| panic!("{event:?}"))
            .unwrap();
        drop(writer);
        env.takes_back = takes_back;
        model.tear_down(&mut env)
    };
    assert_eq!(blocks(u64::MAX), Ok(()));
    // Usage, memmap, root, map: the map is last.
    let Err(TearDownError::Lost { lost, section }) = blocks(3) else { panic!("the map was taken back") };
    assert_eq!((lost.count(), section), (1, SectionNr::new(0)));
    let Err(TearDownError::Lost { lost, .. }) = blocks(0) else { panic!("all was taken back") };
    assert_eq!(lost.count(), 4);
}
