//! All scenarios, by name.

use sparsemem_any::Backend;
use sparsemem_machine_files::MachineFile;
use sparsemem_report::{ScenarioInfo, Verdict};
use sparsemem_suite::{ALL, Scenario};

use crate::variant::Variant;
use crate::{across, golden, linux};

/// A scenario that needs more than one model, or files: it runs on a host only.
#[derive(Clone, Copy)]
pub(crate) struct HostScenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// The expected behaviour, in one sentence.
    pub(crate) about: &'static str,
    /// Its function.
    pub(crate) function: fn(&MachineFile, Backend) -> Verdict,
}

/// Every scenario of the host.
const HOST: &[HostScenario] = &[
    HostScenario {
        name: "across/same-answers",
        about: "this backend and the next one give the same sections, events and lookups",
        function: across::same_answers,
    },
    HostScenario {
        name: "golden/log-agrees",
        about: "the map that was read out of a log is the one that the rest of the same log speaks of",
        function: golden::log_agrees,
    },
    HostScenario {
        name: "golden/present-sections",
        about: "the present sections are those of the node ranges that the machine's own kernel printed",
        function: golden::present_sections,
    },
    HostScenario {
        name: "golden/unavailable-pages",
        about: "the present sections have as many frames without memory as the machine's own kernel counted",
        function: golden::unavailable_pages,
    },
    HostScenario {
        name: "golden/vmemmap-blocks",
        about: "the virtual memmap of each node lies in as many 2 MiB blocks as the machine's own kernel printed",
        function: golden::vmemmap_blocks,
    },
];

/// The scenario about all recordings.
const RULES: HostScenario = HostScenario {
    name: sparsemem_replay::RULES,
    about: "every rule about an intended difference from Linux explains one in some recording",
    function: linux::rules_cell,
};

/// A scenario that can be run.
pub(crate) enum Runnable {
    /// A scenario of the registry, in a variant.
    Portable(&'static Scenario, Variant),
    /// A scenario of the host.
    Host(HostScenario),
    /// The replay of a recording, whose file the machine of the cell names.
    Recording,
}

/// The scenario with this name.
pub(crate) fn find(name: &str) -> Option<Runnable> {
    if let Some(scenario) = HOST.iter().chain([&RULES]).find(|scenario| scenario.name == name) {
        return Some(Runnable::Host(*scenario));
    }
    if name.starts_with(sparsemem_replay::PREFIX) {
        return Some(Runnable::Recording);
    }
    let (plain, variant) = Variant::split(name);
    let known = variant == Variant::Usual || Variant::of(plain).contains(&variant);
    sparsemem_suite::find(plain).filter(|_| known).map(|scenario| Runnable::Portable(scenario, variant))
}

/// Every scenario that suits any machine, in the order of reports: portable scenarios, their variants, and those of
/// the host. Recordings are scenarios of their own machines: see [`recordings`](crate::recordings).
#[must_use]
pub fn catalogue() -> Vec<ScenarioInfo> {
    let usual = ALL.iter().map(|scenario| info(scenario, Variant::Usual));
    let varied = ALL
        .iter()
        .flat_map(|scenario| Variant::of(scenario.name).iter().map(|variant| info(scenario, *variant)));
    let host = HOST.iter().map(|scenario| ScenarioInfo {
        name: scenario.name.to_owned(),
        about: scenario.about.to_owned(),
        facts: Vec::new(),
    });
    usual.chain(varied).chain(host).collect()
}

/// A scenario in a variant.
fn info(scenario: &Scenario, variant: Variant) -> ScenarioInfo {
    ScenarioInfo {
        name: format!("{}{}", scenario.name, variant.suffix()),
        about: format!("{}{}", scenario.about, variant.about()),
        facts: scenario.facts.to_vec(),
    }
}
