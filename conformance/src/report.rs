//! Results of cells, and the report that is printed as JSON.

use core::fmt;

use serde::Serialize;

use crate::Backend;

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What the scenario expects is what happened.
    Passed,
    /// It is not; the detail says what was expected, what was found, and where.
    Failed,
    /// The scenario does not suit the machine or the backend; the detail says why.
    Skipped,
}

impl Outcome {
    /// The word that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The result of one scenario on one backend and one machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellResult {
    /// Name of the scenario.
    pub scenario: String,
    /// The backend.
    pub backend: Backend,
    /// Name of the machine file.
    pub machine: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed or was skipped; empty if it passed.
    pub detail: String,
    /// Wall time in milliseconds.
    pub duration_ms: f64,
}

/// How many cells ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Cells that passed.
    pub passed: usize,
    /// Cells that failed.
    pub failed: usize,
    /// Cells that were skipped.
    pub skipped: usize,
}

/// All results, in the order of the cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Totals.
    pub summary: Summary,
    /// One result per cell.
    pub results: Vec<CellResult>,
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
        };
        Self { summary, results }
    }

    /// The cells that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CellResult> {
        self.results.iter().filter(|result| result.outcome == Outcome::Failed)
    }
}
