//! Scenarios can fail: each of them catches a subject with one defect.
//!
//! # Invariants
//!
//! 1. Every scenario of the registry is in [`CAUGHT`], so a new one needs a defect that no other scenario has to
//!    catch.
//! 2. The scenario's own expectations must catch the defect, not the checks of the runner afterwards.

#[path = "mutants/broken_model.rs"]
mod broken_model;
#[path = "mutants/defect.rs"]
mod defect;
#[path = "mutants/deferral.rs"]
mod deferral;
#[path = "mutants/plug.rs"]
mod plug;

use std::collections::BTreeSet;
use std::path::Path;

use broken_model::BrokenModel;
use defect::Defect;
use sparsemem_altmap::MemmapRule;
use sparsemem_any::Backend;
use sparsemem_conformance::{lend, lend_by_frame};
use sparsemem_core::VirtAddr;
use sparsemem_machine_files::MachineFile;
use sparsemem_suite::{
    ALL, ArrayFacts, BringUp, ByAddress, Capabilities, Compounds, Ended, Failure, MemmapSource, MemoryBack,
    Reach, Subject, TableKind, Tally, WayBack, find, run,
};

/// The scenario that applies to models which are exact by frame.
const BY_FRAME: &str = "lookup/holes-by-frame";

/// The defects, each with a scenario that must catch it.
const CAUGHT: &[(Defect, &str)] = &[
    (Defect::NotEarly, "boot/words"),
    (Defect::AllSubsections, "boot/subsections"),
    (Defect::SilentSharing, "boot/shared-section"),
    (Defect::OneRun, "boot/runs"),
    (Defect::NeedsOrder, "boot/order-independent"),
    (Defect::RunOfNothing, "boot/nothing"),
    (Defect::SilentMaximum, "boot/beyond-maximum"),
    (Defect::BootsTwice, "boot/twice"),
    (Defect::SilentLoss, "boot/no-memory-one-by-one"),
    (Defect::SilentLoss, "boot/memory-runs-out"),
    (Defect::SilentLoss, "boot/all-memory-gone"),
    (Defect::SilentLoss, "boot/link-refused"),
    (Defect::LoudLoss, "boot/no-memory-one-by-one"),
    (Defect::LoudLoss, "boot/all-memory-gone"),
    (Defect::BootsAtOnce, "deferred/marks"),
    (Defect::ForgetsNode, "deferred/marks"),
    (Defect::Dirty, "deferred/bring-up"),
    (Defect::BringsUpAgain, "deferred/bring-up"),
    (Defect::ForgetsMark, "deferred/every-failure"),
    (Defect::HighAlias, "lookup/garbage-bits"),
    (Defect::NoneAtTop, "lookup/oracle"),
    (Defect::OtherReason, "lookup/reasons"),
    (Defect::NextFrame, "lookup/round-trip"),
    (Defect::PairsShare, "lookup/no-aliases"),
    (Defect::HolesAbsent, "lookup/holes-early"),
    (Defect::HolesDenied, "lookup/holes-early"),
    (Defect::ClaimsFrames, BY_FRAME),
    (Defect::HolesFound, BY_FRAME),
    (Defect::HolesWalked, BY_FRAME),
    (Defect::HolesOnline, "lookup/online"),
    (Defect::Dirty, "lookup/fresh-zero"),
    (Defect::ForgetsLast, "walk/sections"),
    (Defect::Overruns, "walk/valid-ranges"),
    (Defect::LooksAtAll, "walk/cost"),
    (Defect::NotMapped, "memmap/mapped-iff-needed"),
    (Defect::IdleLeaf, "memmap/mapped-iff-needed"),
    (Defect::SmallLeaves, "memmap/leaf-sizes"),
    (Defect::CheapMemmap, "memmap/footprint"),
    (Defect::OtherPlanes, "memmap/footprint"),
    (Defect::NothingFaults, "memmap/stray-access-faults"),
    (Defect::Leaks, "teardown/everything-back"),
    (Defect::OtherSecondBoot, "teardown/boot-again"),
    (Defect::BlindReader, "reader/guard"),
    (Defect::StaysOffline, "hotplug/comes-and-goes"),
    (Defect::KeepsMemory, "hotplug/comes-and-goes"),
    (Defect::KeepsDevices, "hotplug/in-parts"),
    (Defect::TakesNeighbours, "hotplug/neighbours"),
    (Defect::KeepsWords, "hotplug/comes-and-goes"),
    (Defect::KeepsWords, "hotplug/early-hole"),
    (Defect::KeepsMemory, "hotplug/boot-memory-goes"),
    (Defect::NeverRefuses, "hotplug/refusals"),
    (Defect::LeavesSomething, "hotplug/every-failure"),
    (Defect::NeverInitialises, "hotplug/every-failure"),
    (Defect::LeavesSomething, "hotplug/every-failure-altmap"),
    (Defect::NeverInitialises, "hotplug/every-failure-altmap"),
    (Defect::NeverFolds, "compound/tails-share"),
    (Defect::LeavesSomething, "compound/every-failure"),
    (Defect::NeverFolds, "compound/fold-up"),
    (Defect::LosesWords, "compound/fold-up"),
    (Defect::NeverUnfolds, "compound/unfold"),
    (Defect::IgnoresAltmap, "altmap/takes-no-ram"),
    (Defect::IgnoresAltmap, "altmap/hosts-itself"),
    (Defect::NeverInitialises, "altmap/hosts-itself"),
    (Defect::NeverRefuses, "altmap/refusals"),
    (Defect::TakesAnyAltmap, "altmap/stays-without-altmap"),
];

/// Runs a scenario on a model that is correct, or correct except for one defect.
fn run_on(defect: Option<Defect>, scenario: &str) -> Result<Ended, Failure> {
    let machine = MachineFile::open(Path::new("synthetic-nodes-interleaved.dmesg"), None).unwrap();
    let scenario = find(scenario).unwrap();
    let mut result = Ok(Ended::Passed(Tally::default()));
    let is_by_frame = scenario.name == BY_FRAME && defect != Some(Defect::ClaimsFrames);
    let lend = if is_by_frame { lend_by_frame } else { lend };
    lend(&machine, Backend::Vmemmap, &mut |correct, can, memory| {
        let mut broken_model;
        let subject: &mut dyn Subject = match defect {
            Some(defect) => {
                broken_model = BrokenModel::new(correct, defect);
                &mut broken_model
            }
            None => correct,
        };
        result = run(scenario, subject, can, memory);
    })
    .unwrap();
    result
}

/// A name, what a model says of itself although it is not true, and a scenario that must catch it.
type Lie = (&'static str, fn(&mut Capabilities), &'static str);

/// The lies.
const LIES: &[Lie] = &[
    ("reach", |can| can.reach = Reach::Everywhere, "boot/beyond-maximum"),
    ("reach", |can| can.reach = Reach::Everywhere, "walk/cost"),
    ("bring-up", |can| can.bring_up = BringUp::Later, "deferred/marks"),
    ("memory back", |can| can.memory_back = MemoryBack::WithItsSection, "hotplug/boot-memory-goes"),
    (
        "memmaps",
        |can| can.memmaps = MemmapSource::AllocMemmap(MemmapRule::SectionBlocks),
        "altmap/takes-no-ram",
    ),
    ("flat table", |can| can.table = TableKind::Flat, "memmap/footprint"),
    ("rooted table", |can| can.table = TableKind::Rooted, "memmap/footprint"),
    ("compounds", |can| can.compounds = Compounds::Folded, "compound/tails-share"),
    ("array", |can| can.array = Some(NOWHERE), "memmap/mapped-iff-needed"),
];

/// An array in which no descriptor lies.
const NOWHERE: ArrayFacts = ArrayFacts { start: VirtAddr::new(1 << 46), len_bytes: 1 << 40 };

#[test]
fn no_capability_is_believed() {
    let bounded = Backend::ALL.into_iter().find(|backend| !backend.is_sparse()).unwrap();
    for (claim, lie, scenario) in LIES {
        let result = run_with(bounded, scenario, lie);
        assert!(result.is_err(), "{scenario} has to catch a lie about {claim}: {result:?}");
    }
}

#[test]
#[allow(unsafe_code, reason = "breaks the promise, on a table that has an entry for every section")]
fn a_stamp_is_not_taken_for_an_address() {
    let mut all = Backend::ALL.into_iter().filter(|backend| !backend.finds_by_address());
    let stamped = all.find(|backend| !backend.has_roots()).unwrap();
    let lie = |can: &mut Capabilities| {
        // SAFETY: the descriptors are zero, and name section 0, which this machine has.
        can.way_back = WayBack::Address(unsafe { ByAddress::promise() });
    };
    // In debug builds the model itself notices that the descriptor was not initialised.
    match std::panic::catch_unwind(|| run_with(stamped, "lookup/round-trip", &lie)) {
        Ok(result) => assert!(result.is_err_and(|failure| failure.what == "frame of the fresh descriptor")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().expect("an assertion with a text");
            assert!(cfg!(debug_assertions) && text.contains("was not initialised"), "{text}");
        }
    }
}

/// Runs a scenario on a correct model that says something of itself.
fn run_with(backend: Backend, scenario: &str, say: &dyn Fn(&mut Capabilities)) -> Result<Ended, Failure> {
    let machine = MachineFile::open(Path::new("synthetic-nodes-interleaved.dmesg"), None).unwrap();
    let mut result = Ok(Ended::Passed(Tally::default()));
    lend(&machine, backend, &mut |correct, mut can, memory| {
        say(&mut can);
        result = run(find(scenario).unwrap(), correct, can, memory);
    })
    .unwrap();
    result
}

#[test]
fn every_defect_is_caught() {
    for (defect, scenario) in CAUGHT {
        let failure =
            run_on(Some(*defect), scenario).expect_err(&format!("{scenario} has to catch {defect:?}"));
        assert!(!failure.what.starts_with("after the scenario"), "{scenario}, {defect:?}: {failure}");
    }
}

#[test]
fn a_correct_model_passes() {
    for scenario in ALL {
        let ended = run_on(None, scenario.name);
        assert!(matches!(ended, Ok(Ended::Passed(_))), "{}: {ended:?}", scenario.name);
    }
}

#[test]
fn every_scenario_catches_a_defect() {
    let catching: BTreeSet<&str> = CAUGHT.iter().map(|(_, scenario)| *scenario).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(catching, all);
}
