//! Scenarios can fail: each of them catches a subject that tells one lie.
//!
//! # Invariants
//!
//! 1. Every scenario of the registry is in [`CAUGHT`], so a new one needs a lie that only it may miss.
//! 2. A lie has to be caught by the scenario's own expectations, not by what the runner looks at afterwards.

#[path = "mutants/liar.rs"]
mod liar;
#[path = "mutants/lie.rs"]
mod lie;
#[path = "mutants/plug.rs"]
mod plug;

use std::collections::BTreeSet;
use std::path::Path;

use liar::Liar;
use lie::Lie;
use sparsemem_any::Backend;
use sparsemem_conformance::lend;
use sparsemem_machine_files::MachineFile;
use sparsemem_suite::{ALL, Ended, Failure, Subject, Tally, find, run};

/// Which lie has to be caught by which scenario.
const CAUGHT: &[(Lie, &str)] = &[
    (Lie::NotEarly, "boot/words"),
    (Lie::AllSubsections, "boot/subsections"),
    (Lie::SilentSharing, "boot/shared-section"),
    (Lie::OneRun, "boot/runs"),
    (Lie::NeedsOrder, "boot/order-independent"),
    (Lie::RunOfNothing, "boot/nothing"),
    (Lie::SilentMaximum, "boot/beyond-maximum"),
    (Lie::BootsTwice, "boot/twice"),
    (Lie::SilentLoss, "boot/no-memory-one-by-one"),
    (Lie::SilentLoss, "boot/memory-runs-out"),
    (Lie::SilentLoss, "boot/all-memory-gone"),
    (Lie::SilentLoss, "boot/link-refused"),
    (Lie::LoudLoss, "boot/no-memory-one-by-one"),
    (Lie::LoudLoss, "boot/all-memory-gone"),
    (Lie::HighAlias, "lookup/garbage-bits"),
    (Lie::NoneAtTop, "lookup/oracle"),
    (Lie::OtherReason, "lookup/reasons"),
    (Lie::NextFrame, "lookup/round-trip"),
    (Lie::PairsShare, "lookup/no-aliases"),
    (Lie::HolesAbsent, "lookup/holes-early"),
    (Lie::HolesOnline, "lookup/online"),
    (Lie::Dirty, "lookup/fresh-zero"),
    (Lie::ForgetsLast, "walk/sections"),
    (Lie::Overruns, "walk/valid-ranges"),
    (Lie::LooksAtAll, "walk/cost"),
    (Lie::NotMapped, "memmap/mapped-iff-needed"),
    (Lie::IdleLeaf, "memmap/mapped-iff-needed"),
    (Lie::SmallLeaves, "memmap/leaf-sizes"),
    (Lie::CheapMemmap, "memmap/footprint"),
    (Lie::NothingFaults, "memmap/stray-access-faults"),
    (Lie::Leaks, "teardown/everything-back"),
    (Lie::OtherSecondBoot, "teardown/boot-again"),
    (Lie::BlindReader, "reader/guard"),
    (Lie::StaysOffline, "hotplug/comes-and-goes"),
    (Lie::KeepsMemory, "hotplug/comes-and-goes"),
    (Lie::KeepsDevices, "hotplug/in-parts"),
    (Lie::KeepsWords, "hotplug/comes-and-goes"),
    (Lie::KeepsWords, "hotplug/early-hole"),
    (Lie::KeepsMemory, "hotplug/boot-memory-goes"),
    (Lie::NeverRefuses, "hotplug/refusals"),
    (Lie::LeavesSomething, "hotplug/every-failure"),
    (Lie::NeverInitialises, "hotplug/every-failure"),
    (Lie::LeavesSomething, "hotplug/every-failure-altmap"),
    (Lie::NeverInitialises, "hotplug/every-failure-altmap"),
    (Lie::IgnoresAltmap, "altmap/takes-no-ram"),
    (Lie::IgnoresAltmap, "altmap/hosts-itself"),
    (Lie::NeverInitialises, "altmap/hosts-itself"),
    (Lie::NeverRefuses, "altmap/refusals"),
];

/// Runs a scenario on a model that is honest but for one lie.
fn play(lie: Option<Lie>, scenario: &str) -> Result<Ended, Failure> {
    let machine = MachineFile::open(Path::new("synthetic-nodes-interleaved.dmesg"), None).unwrap();
    let scenario = find(scenario).unwrap();
    let mut result = Ok(Ended::Passed(Tally::default()));
    lend(&machine, Backend::Vmemmap, &mut |honest, build, memory| {
        let mut liar;
        let subject: &mut dyn Subject = match lie {
            Some(lie) => {
                liar = Liar::new(honest, lie);
                &mut liar
            }
            None => honest,
        };
        result = run(scenario, subject, build, memory);
    })
    .unwrap();
    result
}

#[test]
fn every_lie_is_caught() {
    for (lie, scenario) in CAUGHT {
        let failure = play(Some(*lie), scenario).expect_err(&format!("{scenario} has to catch {lie:?}"));
        assert!(!failure.what.starts_with("after the scenario"), "{scenario}, {lie:?}: {failure}");
    }
}

#[test]
fn the_truth_is_not() {
    for scenario in ALL {
        let ended = play(None, scenario.name);
        assert!(matches!(ended, Ok(Ended::Passed(_))), "{}: {ended:?}", scenario.name);
    }
}

#[test]
fn every_scenario_catches_something() {
    let catching: BTreeSet<&str> = CAUGHT.iter().map(|(_, scenario)| *scenario).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(catching, all);
}
