//! Results of cells, and the report that is printed as JSON.
#![forbid(unsafe_code)]

mod arch;
mod glob;

use core::fmt;

use serde::{Deserialize, Serialize};
use sparsemem_any::Backend;

pub use arch::{Arch, UnknownArch};
pub use glob::matches as scenario_matches;

/// The world in which a cell was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// The simulated machine, in a process of the host.
    #[default]
    Host,
    /// A kernel on a machine that QEMU emulates.
    Qemu,
}

/// The outcome of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The expectations of the scenario were met.
    Passed,
    /// An expectation was not met; the detail has place, expected value and found value.
    Failed,
    /// The cell could have been run, and was not; the detail has the reason.
    Skipped,
    /// The machine or the backend lacks the subject of the scenario; the detail names it.
    NotApplicable,
}

impl Outcome {
    /// The word that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotApplicable => "not-applicable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The outcome of a cell, and why it did not pass.
pub type Verdict = (Outcome, String);

/// A scenario, as `--list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// The property that it checks, in one sentence.
    pub about: String,
    /// The numbers of the facts about Linux that it tests.
    pub facts: Vec<&'static str>,
}

/// The result of one scenario on one backend and one machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellResult {
    /// Name of the scenario.
    pub scenario: String,
    /// The world in which the cell was run.
    pub world: World,
    /// The processor of a machine that QEMU emulates; the simulated machine has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// The backend.
    pub backend: Backend,
    /// Name of the machine file, or of the machine that QEMU emulates.
    pub machine: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The reason why the cell did not pass; empty if it did.
    pub detail: String,
    /// The number of simulated failures: of an allocation, a mapping, a notifier, or the page allocator.
    pub failure_points: u64,
    /// Wall time in milliseconds.
    pub duration_ms: f64,
}

/// The number of cells with each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Cells that passed.
    pub passed: usize,
    /// Cells that failed.
    pub failed: usize,
    /// Cells that could have been run, and were not.
    pub skipped: usize,
    /// Results for which there was nothing to run.
    pub not_applicable: usize,
    /// The number of simulated failures, in all cells.
    pub failure_points: u64,
}

/// A rule by which a model differs from a recorded Linux on purpose, in a cell that needed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleUse {
    /// Name of the scenario.
    pub scenario: String,
    /// The backend.
    pub backend: Backend,
    /// The rule: its name, what Linux does, what the model does, and why.
    pub rule: String,
}

/// All results, in the order of the cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Totals.
    pub summary: Summary,
    /// One result per cell.
    pub results: Vec<CellResult>,
    /// The rules that cells needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleUse>,
}

impl Report {
    /// Counts the results.
    #[must_use]
    pub fn new(results: Vec<CellResult>) -> Self {
        let count = |outcome| results.iter().filter(|result| result.outcome == outcome).count();
        let summary = Summary {
            passed: count(Outcome::Passed),
            failed: count(Outcome::Failed),
            skipped: count(Outcome::Skipped),
            not_applicable: count(Outcome::NotApplicable),
            failure_points: results.iter().map(|result| result.failure_points).sum(),
        };
        Self { summary, results, rules: Vec::new() }
    }

    /// The same report with the rules that its cells needed.
    #[must_use]
    pub fn with_rules(self, rules: Vec<RuleUse>) -> Self {
        Self { rules, ..self }
    }

    /// The cells that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CellResult> {
        self.results.iter().filter(|result| result.outcome == Outcome::Failed)
    }
}
