//! Random memory with random holes, and subsections that come and go, beside a set of frames.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    BootModel as _, MemoryModel, Pfn, PfnRange, SectionShape, initialise, initialise_fresh,
};
use sparsemem_fixture::{Backend, NODE, usual_machine};
use sparsemem_machine::{Machine, place};

use super::{ExactRoots, ExactWords, Tested, are, boot, frames, memory, over, runs};

/// Frames of the tiny geometry, and some beyond it.
const FRAMES: u64 = Tiny::MAX_PFN + 16;
/// Frames of a tiny subsection.
const SUB: u64 = Tiny::PAGES_PER_SUBSECTION;

/// Everything that is known of a model: the valid frames, and the populated subsections, each with whether it is
/// online.
#[derive(Debug, Default)]
struct Plain {
    valid: BTreeSet<u64>,
    populated: BTreeMap<u64, bool>,
}

impl Plain {
    fn booted(ranges: &[PfnRange]) -> Self {
        let valid: BTreeSet<u64> =
            ranges.iter().flat_map(|range| range.start().get()..range.end().get()).collect();
        let populated = valid.iter().map(|frame| (frame / SUB, true)).collect();
        Self { valid, populated }
    }

    /// Compares every answer of a model.
    fn compare<M: MemoryModel>(&self, model: &M) {
        let online = |frame| self.populated.get(&(frame / SUB)) == Some(&true);
        let all = frames(0, FRAMES);
        initialise(model, all);
        are(model, 0..FRAMES, &|frame| self.valid.contains(&frame), &online);
        let walked: Vec<u64> = model.valid_ranges(all).frames().map(Pfn::get).collect();
        assert_eq!(walked, self.valid.iter().copied().collect::<Vec<_>>());
        let single: Vec<_> = self.valid.iter().map(|frame| frames(*frame, frame + 1)).collect();
        assert!(model.valid_ranges(all).eq(runs::<Tiny>(&single)), "runs are as long as they get");
    }
}

/// An operation on a subsection.
#[derive(Clone, Copy, Debug)]
enum Step {
    Install(u64),
    Retire(u64),
    Online(u64),
    Offline(u64),
}

fn step() -> impl Strategy<Value = Step> {
    (0..4_u32, 0..Tiny::MAX_PFN / SUB).prop_map(|(kind, subsection)| match kind {
        0 => Step::Install(subsection),
        1 => Step::Retire(subsection),
        2 => Step::Online(subsection),
        _ => Step::Offline(subsection),
    })
}

/// Does a step on model and set, and compares whether it was accepted.
fn take<M: Tested>(model: &M, machine: &mut Machine, plain: &mut Plain, step: Step) {
    let (Step::Install(subsection)
    | Step::Retire(subsection)
    | Step::Online(subsection)
    | Step::Offline(subsection)) = step;
    let span = subsection * SUB..(subsection + 1) * SUB;
    let range = frames(span.start, span.end);
    let before = plain.populated.get(&subsection).copied();
    let mut writer = model.write().unwrap();
    let (expected, done) = match step {
        Step::Install(_) => (before.is_none(), writer.install(machine, range, NODE).is_ok()),
        Step::Retire(_) => (before == Some(false), writer.retire(machine, range).is_ok()),
        Step::Online(_) => (before.is_some(), writer.set_online(range).is_ok()),
        Step::Offline(_) => (before.is_some(), writer.set_offline(range).is_ok()),
    };
    // What marks refuse is not the subject here.
    let is_mark = matches!(step, Step::Online(_) | Step::Offline(_));
    assert!(done == expected || is_mark && !done, "{step:?} after {before:?}");
    match step {
        _ if !done => {}
        Step::Install(_) => {
            plain.populated.insert(subsection, false);
            plain.valid.extend(span);
        }
        Step::Retire(_) => {
            plain.populated.remove(&subsection);
            plain.valid.retain(|frame| !span.contains(frame));
        }
        Step::Online(_) | Step::Offline(_) => {
            plain.populated.insert(subsection, matches!(step, Step::Online(_)));
        }
    }
}

/// Ranges of frames below `end`, some of which touch or overlap.
fn ranges(end: u64, longest: u64) -> impl Strategy<Value = Vec<PfnRange>> {
    let range = (0..end, 1..longest).prop_map(move |(start, count)| frames(start, end.min(start + count)));
    prop::collection::vec(range, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every backend by Linux' rule, whose sections of boot are valid as a whole inside.
    #[test]
    fn tiny_sections(ram in ranges(Tiny::MAX_PFN, 12), steps in prop::collection::vec(step(), 0..40)) {
        for backend in Backend::ALL {
            let (mut model, mut machine) =
                over::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(backend, &usual_machine());
            let before = machine.state_digest();
            let (summary, _) = boot(&model, &mut machine, &memory(&ram));
            prop_assert_eq!(summary.lost, 0);
            let mut plain = Plain::booted(&ram);
            plain.compare(&model);
            for step in &steps {
                take(&model, &mut machine, &mut plain, *step);
                plain.compare(&model);
            }
            model.tear_down(&mut machine).unwrap();
            Plain::default().compare(&model);
            prop_assert_eq!(machine.state_digest(), before);
        }
    }
}

/// Boots from ranges, and compares every frame of the first sections.
fn pc<M: Tested>(model: &mut M, mut machine: Machine, ram: &[PfnRange], end: u64) {
    boot(model, &mut machine, &memory(ram));
    let all = frames(0, end);
    let is_valid = |frame| ram.iter().any(|range| range.contains(Pfn::new(frame)));
    let count = (0..end).filter(|frame| is_valid(*frame)).count() as u64;
    // SAFETY: nobody else has the model.
    assert_eq!(unsafe { initialise_fresh(model, all) }.get(), count, "holes are not initialised");
    are(model, 0..end, &is_valid, &|_| true);
    assert!(model.valid_ranges(all).eq(runs::<X86_64>(ram)));
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Subsections of 512 frames, with several holes in each; by Linux' rule and by the exact rule inside.
    #[test]
    fn pc_sections(ram in ranges(3000, 700), far in ranges(1000, 300)) {
        let second = X86_64::PAGES_PER_SECTION + 1024;
        let shift = |range: PfnRange| frames(second + range.start().get(), second + range.end().get());
        let ram: Vec<_> = ram.into_iter().chain(far.into_iter().map(shift)).collect();
        let end = second + 2000;
        for backend in Backend::ALL {
            let (mut model, machine) =
                over::<X86_64, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(backend, &usual_machine());
            pc(&mut model, machine, &ram, end);
        }
        let machine = || Machine::new(&usual_machine()).unwrap();
        pc(&mut *place::<ExactWords>(), machine(), &ram, end);
        pc(&mut *place::<ExactRoots>(), machine(), &ram, end);
    }
}
