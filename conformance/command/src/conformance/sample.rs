//! Made-up results for the tests of the report.

use sparsemem_any::Backend;
use sparsemem_report::{CellResult, Outcome, World};

fn result(scenario: &str, machine: &str, outcome: Outcome, detail: &str) -> CellResult {
    CellResult {
        scenario: scenario.to_owned(),
        world: World::Host,
        arch: None,
        backend: Backend::Vmemmap,
        machine: machine.to_owned(),
        outcome,
        detail: detail.to_owned(),
        failure_points: 0,
        duration_ms: 1.0,
    }
}

/// A cell of vmemmap that passed.
pub(super) fn passed(scenario: &str, machine: &str) -> CellResult {
    result(scenario, machine, Outcome::Passed, "")
}

/// A cell of vmemmap that failed.
pub(super) fn failed(scenario: &str, machine: &str, detail: &str) -> CellResult {
    result(scenario, machine, Outcome::Failed, detail)
}

/// A cell of vmemmap that was skipped.
pub(super) fn skipped(scenario: &str, machine: &str, detail: &str) -> CellResult {
    result(scenario, machine, Outcome::Skipped, detail)
}

/// A scenario that does not apply to vmemmap.
pub(super) fn not_applicable(scenario: &str, machine: &str, detail: &str) -> CellResult {
    result(scenario, machine, Outcome::NotApplicable, detail)
}

/// The same cell on another backend.
pub(super) fn on(backend: Backend, result: CellResult) -> CellResult {
    CellResult { backend, ..result }
}
