//! `--list`: what there is to run.

use std::fmt::Write;

use serde_json::{Value, json};
use sparsemem_conformance::{Backend, MachineFile, ScenarioInfo, catalogue, machines};

use super::{Args, select};
use crate::failure::Failure;
use crate::terminal::Screen;
use crate::{machine, units};

/// Scenarios, machines and backends.
pub(super) struct List {
    scenarios: Vec<ScenarioInfo>,
    machines: Vec<Entry>,
}

/// A machine in the list.
struct Entry {
    name: String,
    geometry: &'static str,
    ram_bytes: u64,
    nodes: usize,
}

impl List {
    /// What there is; with machines on the command line, only those.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let machines = machines(&select::filter(args)).map_err(|error| machine::unusable(&error))?;
        let machines = machines.iter().map(|machine| Entry::new(machine)).collect();
        Ok(Self { scenarios: catalogue(), machines })
    }

    /// The list for people.
    pub(super) fn text(&self, screen: &Screen) -> String {
        let mut scenarios = screen.table(&["scenario", "what it checks"]);
        for scenario in &self.scenarios {
            scenarios.add_row(vec![scenario.name.clone(), scenario.about.clone()]);
        }
        let mut machines = screen.table(&["machine", "RAM", "nodes", "geometry"]);
        for machine in &self.machines {
            let (ram, nodes) = (units::bytes(machine.ram_bytes), machine.nodes.to_string());
            machines.add_row(vec![machine.name.clone(), ram, nodes, machine.geometry.to_owned()]);
        }
        let mut text = format!("{scenarios}\n\n{machines}\n\nbackends:");
        for backend in Backend::ALL {
            let _ = write!(text, " {backend}");
        }
        let (scenarios, machines) = (self.scenarios.len(), self.machines.len());
        let cells = scenarios * machines * Backend::ALL.len();
        let _ = writeln!(
            text,
            "\n{}, {}, {}: {}",
            units::counted(scenarios, "scenario"),
            units::counted(machines, "machine"),
            units::counted(Backend::ALL.len(), "backend"),
            units::counted(cells, "cell"),
        );
        text
    }

    /// The list for programs.
    pub(super) fn json(&self) -> Value {
        let scenario = |it: &ScenarioInfo| json!({ "name": it.name, "about": it.about, "facts": it.facts });
        let machine =
            |it: &Entry| json!({ "name": it.name, "geometry": it.geometry, "ram_bytes": it.ram_bytes });
        json!({
            "scenarios": self.scenarios.iter().map(scenario).collect::<Vec<_>>(),
            "machines": self.machines.iter().map(machine).collect::<Vec<_>>(),
            "backends": Backend::ALL.map(Backend::name),
        })
    }
}

impl Entry {
    fn new(machine: &MachineFile) -> Self {
        let bytes = |start: u64, end: u64| end.saturating_sub(start);
        let ram = machine.memory.iter().map(|(range, _)| bytes(range.start().get(), range.end().get()));
        let mut nodes: Vec<_> = machine.memory.iter().map(|(_, node)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Self {
            name: machine.name.clone(),
            geometry: machine.geometry.name(),
            ram_bytes: ram.sum(),
            nodes: nodes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_conformance::ScenarioInfo;

    use super::{Entry, List};
    use crate::terminal::Screen;

    fn list() -> List {
        let about = "every section has its word".to_owned();
        let name = "boot/words".to_owned();
        let machine = Entry { name: "a.dmesg".to_owned(), geometry: "x86_64", ram_bytes: 8 << 30, nodes: 2 };
        List { scenarios: vec![ScenarioInfo { name, about, facts: vec!["W-01"] }], machines: vec![machine] }
    }

    #[test]
    fn everything_is_listed_with_its_description() {
        let text = list().text(&Screen::plain(80));
        for wanted in ["boot/words", "every section has its word", "a.dmesg", "8 GiB", "x86_64", "vmemmap"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(text.ends_with("1 scenario, 1 machine, 3 backends: 3 cells\n"), "{text}");
    }

    #[test]
    fn programs_get_the_same() {
        let json = list().json();
        assert_eq!(json["scenarios"][0]["name"], "boot/words");
        assert_eq!(json["machines"][0]["ram_bytes"], 8u64 << 30);
        assert_eq!(json["backends"][2], "vmemmap");
    }
}
