//! Scenario x backend, on a handful of machines that have something of everything.

use std::path::Path;
use std::sync::Arc;

use rstest::rstest;
use sparsemem_any::Backend;
use sparsemem_conformance::{Cell, run_cell};
use sparsemem_machine_files::MachineFile;
use sparsemem_report::Outcome;

/// Machines: a small one with a hole, four nodes in turns, a frame per section, sections of another geometry.
const MACHINES: [&str; 6] = [
    "x86-kvm-bochs-512m.dmesg",
    "synthetic-nodes-interleaved.dmesg",
    "synthetic-frame-per-section.dmesg",
    "synthetic-forty-regions.dmesg",
    "ppc64le-power9-2s-64g.dmesg",
    "arm64-rpi4-2g.dmesg",
];

/// A machine of the project's own folders.
fn machine(name: &str) -> Arc<MachineFile> {
    Arc::new(MachineFile::open(Path::new(name), None).unwrap())
}

#[rstest]
fn passes(
    #[values(
        "boot/words",
        "boot/subsections",
        "boot/shared-section",
        "boot/runs",
        "boot/order-independent",
        "boot/nothing",
        "boot/beyond-maximum",
        "boot/twice",
        "boot/no-memory-one-by-one",
        "boot/memory-runs-out",
        "boot/all-memory-gone",
        "boot/link-refused",
        "lookup/oracle",
        "lookup/reasons",
        "lookup/garbage-bits",
        "lookup/round-trip",
        "lookup/no-aliases",
        "lookup/holes-early",
        "lookup/holes-by-frame@by-frame",
        "lookup/oracle@by-frame",
        "lookup/online",
        "lookup/fresh-zero",
        "walk/sections",
        "walk/valid-ranges",
        "walk/cost",
        "memmap/mapped-iff-needed",
        "memmap/leaf-sizes",
        "memmap/footprint",
        "memmap/stray-access-faults",
        "teardown/everything-back",
        "teardown/boot-again",
        "reader/guard",
        "hotplug/comes-and-goes",
        "hotplug/in-parts",
        "hotplug/neighbours",
        "hotplug/early-hole",
        "hotplug/boot-memory-goes",
        "hotplug/refusals",
        "hotplug/every-failure",
        "hotplug/every-failure-altmap",
        "altmap/takes-no-ram",
        "altmap/hosts-itself",
        "altmap/refusals",
        "across/same-answers",
        "golden/log-agrees",
        "golden/present-sections",
        "golden/unavailable-pages",
        "golden/vmemmap-blocks"
    )]
    scenario: &str,
) {
    for (name, backend) in MACHINES.iter().flat_map(|name| Backend::ALL.map(|backend| (name, backend))) {
        let result = run_cell(&Cell { scenario: scenario.to_owned(), backend, machine: machine(name) });
        assert_ne!(result.outcome, Outcome::Failed, "{backend} on {name}: {}", result.detail);
        assert_eq!(
            result.outcome != Outcome::Passed,
            !result.detail.is_empty(),
            "{backend} on {name}: what is not run has a reason"
        );
    }
}
