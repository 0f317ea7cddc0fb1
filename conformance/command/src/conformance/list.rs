//! `--list`: the scenarios, machines and backends.

use std::fmt::Write;

use serde_json::{Value, json};
use sparsemem_any::Backend;
use sparsemem_conformance::{catalogue, machines, recordings};
use sparsemem_machine_files::MachineFile;
use sparsemem_replay::Recording;
use sparsemem_report::ScenarioInfo;

use super::{Args, select};
use sparsemem_terminal::{Failure, Screen, units};

/// Scenarios, machines and backends.
pub(super) struct List {
    scenarios: Vec<ScenarioInfo>,
    machines: Vec<Entry>,
    recordings: Vec<Recorded>,
}

/// A recording in the list.
struct Recorded {
    name: String,
    scenario: String,
    about: String,
    steps: usize,
}

/// A machine in the list.
struct Entry {
    name: String,
    geometry: &'static str,
    ram_bytes: u64,
    nodes: usize,
}

impl List {
    /// The list; if the command line names machines or recordings, only those of that kind.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let filter = select::filter(args);
        let machines = machines(&filter).map_err(|error| Failure::Usage(error.advice()))?;
        let machines = machines.iter().map(|machine| Entry::new(machine)).collect();
        let recordings = recordings(&filter).map_err(|error| select::unusable(&error))?;
        Ok(Self {
            scenarios: catalogue(),
            machines,
            recordings: recordings.iter().map(Recorded::new).collect(),
        })
    }

    /// The list as text.
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
        let mut recordings = screen.table(&["recording", "steps", "what Linux did"]);
        for recording in &self.recordings {
            let steps = recording.steps.to_string();
            recordings.add_row(vec![recording.name.clone(), steps, recording.about.clone()]);
        }
        let mut text = format!("{scenarios}\n\n{machines}\n\n");
        if !self.recordings.is_empty() {
            let _ = writeln!(text, "{recordings}\n");
        }
        let _ = write!(text, "backends:");
        for backend in Backend::ALL {
            let _ = write!(text, " {backend}");
        }
        let (scenarios, machines) = (self.scenarios.len(), self.machines.len());
        let cells = (scenarios * machines + self.recordings.len()) * Backend::ALL.len();
        let _ = writeln!(
            text,
            "\n{}, {}, {}, {}: at most {}",
            units::counted(scenarios, "scenario"),
            units::counted(machines, "machine"),
            units::counted(self.recordings.len(), "recording"),
            units::counted(Backend::ALL.len(), "backend"),
            units::counted(cells, "cell"),
        );
        text
    }

    /// The list as JSON.
    pub(super) fn json(&self) -> Value {
        let scenario = |it: &ScenarioInfo| json!({ "name": it.name, "about": it.about, "facts": it.facts });
        let machine =
            |it: &Entry| json!({ "name": it.name, "geometry": it.geometry, "ram_bytes": it.ram_bytes });
        let recording = |it: &Recorded| json!({ "name": it.name, "scenario": it.scenario, "about": it.about, "steps": it.steps });
        json!({
            "scenarios": self.scenarios.iter().map(scenario).collect::<Vec<_>>(),
            "machines": self.machines.iter().map(machine).collect::<Vec<_>>(),
            "recordings": self.recordings.iter().map(recording).collect::<Vec<_>>(),
            "backends": Backend::ALL.map(Backend::name),
        })
    }
}

impl Recorded {
    fn new(recording: &Recording) -> Self {
        Self {
            name: recording.name().to_owned(),
            scenario: recording.scenario(),
            about: recording.about().to_owned(),
            steps: recording.steps(),
        }
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
    use sparsemem_report::ScenarioInfo;

    use super::{Args, Entry, List, Recorded};
    use sparsemem_terminal::Screen;

    fn list() -> List {
        let about = "every section has its word".to_owned();
        let name = "boot/words".to_owned();
        let machine = Entry { name: "a.dmesg".to_owned(), geometry: "x86_64", ram_bytes: 8 << 30, nodes: 2 };
        let recording = Recorded {
            name: "b.json".to_owned(),
            scenario: "linux/b".to_owned(),
            about: "a module comes and goes".to_owned(),
            steps: 7,
        };
        List {
            scenarios: vec![ScenarioInfo { name, about, facts: vec!["W-01"] }],
            machines: vec![machine],
            recordings: vec![recording],
        }
    }

    #[test]
    fn everything_is_listed_with_its_description() {
        let text = list().text(&Screen::plain(80));
        for wanted in
            ["boot/words", "every section has its word", "a.dmesg", "8 GiB", "x86_64", "b.json", "vmemmap"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(
            text.ends_with("1 scenario, 1 machine, 1 recording, 5 backends: at most 10 cells\n"),
            "{text}"
        );
    }

    #[test]
    fn all_there_is_fits_80_columns() {
        let text = List::new(&Args::default()).unwrap().text(&Screen::plain(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn programs_get_the_same() {
        let json = list().json();
        assert_eq!(json["scenarios"][0]["name"], "boot/words");
        assert_eq!(json["machines"][0]["ram_bytes"], 8u64 << 30);
        assert_eq!(json["recordings"][0]["scenario"], "linux/b");
        assert_eq!(json["backends"][2], "vmemmap");
    }
}
