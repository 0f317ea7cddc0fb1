//! Judges whether the generated code is good enough.

use std::collections::BTreeMap;

use sparsemem_disassembly::Listing;

use super::blessed::Comparison;
use super::budgets::{BUDGETS, Budget, Limits, excused, twin};
use super::build::OF_SELECTED;
use super::operations::OperationRow;
use crate::build::Generated;
use sparsemem_report::Arch;

/// The counts of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Instructions.
    pub(crate) instructions: usize,
    /// Loads, without the stack's.
    pub(crate) loads: usize,
    /// Calls of other functions.
    pub(crate) calls: usize,
}

/// A probe, its twin, and what is wrong.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) probe: &'static str,
    /// Its budget.
    pub(crate) limits: Limits,
    /// Its counts.
    pub(crate) rust: Counts,
    /// The counts of its twin in C.
    pub(crate) c: Counts,
    /// The faults that were found.
    pub(crate) faults: Vec<String>,
}

/// The lookups of a processor.
#[derive(Debug)]
pub(crate) struct Processor {
    /// The processor.
    pub(crate) arch: Arch,
    /// The Rust compiler.
    pub(crate) rustc: String,
    /// The C compiler.
    pub(crate) cc: String,
    /// The probes.
    pub(crate) rows: Vec<Row>,
    /// Models whose `Selected` is not the model itself.
    pub(crate) selected_faults: Vec<String>,
    /// The blessed files.
    pub(crate) files: Vec<Comparison>,
}

/// Everything that was looked at.
#[derive(Debug)]
pub(crate) struct Judged {
    /// By processor.
    pub(crate) processors: Vec<Processor>,
    /// The operations, if they were counted.
    pub(crate) operations: Option<Vec<OperationRow>>,
}

impl Processor {
    /// True if nothing is wrong.
    fn passed(&self) -> bool {
        let differs = |file: &Comparison| matches!(file, Comparison::Different { .. });
        self.rows.iter().all(|row| row.faults.is_empty())
            && self.selected_faults.is_empty()
            && !self.files.iter().any(differs)
    }
}

impl Judged {
    /// True if nothing is wrong.
    pub(crate) fn passed(&self) -> bool {
        self.processors.iter().all(Processor::passed)
            && !self.operations.iter().flatten().any(OperationRow::is_wrong)
    }
}

/// Judges what was generated.
pub(super) fn judge(generated: &Generated, files: Vec<Comparison>) -> Processor {
    let arch = generated.arch;
    let rows = BUDGETS.iter().filter_map(|budget| row(arch, budget, &generated.listings)).collect();
    let (rustc, cc) = (generated.rustc.clone(), generated.cc.clone());
    Processor { arch, rustc, cc, rows, selected_faults: selected_faults(generated), files }
}

fn row(arch: Arch, budget: &'static Budget, listings: &BTreeMap<String, Listing>) -> Option<Row> {
    let (probe, limits) = (budget.probe, budget.on(arch)?);
    let rust = counts(listings.get(probe)?);
    let c = counts(listings.get(&twin(probe))?);
    let allowed = Counts { instructions: c.instructions + excused(arch, probe), ..c };
    Some(Row { probe, limits, rust, c, faults: faults(limits, rust, allowed) })
}

fn counts(listing: &Listing) -> Counts {
    Counts { instructions: listing.instructions(), loads: listing.loads(), calls: listing.calls() }
}

fn faults(limits: Limits, rust: Counts, c: Counts) -> Vec<String> {
    let mut faults = Vec::new();
    let mut limit = |what: &str, is: usize, allowed: usize| {
        if is > allowed {
            faults.push(format!("{is} {what}, allowed are {allowed}"));
        }
    };
    limit("instructions", rust.instructions, limits.instructions);
    limit("loads", rust.loads, limits.loads);
    limit("calls", rust.calls, limits.calls);
    limit("instructions beside those of C", rust.instructions, c.instructions);
    limit("loads beside those of C", rust.loads, c.loads);
    faults
}

/// `Selected` is an alias: its listings have to be those of the model, but for the names.
fn selected_faults(generated: &Generated) -> Vec<String> {
    let mut faults = Vec::new();
    for (model, selected) in &generated.selected {
        for probe in OF_SELECTED {
            let own = generated.listings.get(&probe.replace("selected", model));
            let own = own.map(|listing| listing.to_string().replace(&model.to_uppercase(), "SELECTED"));
            let chosen = selected.get(probe).map(|listing| listing.to_string().replace("selected", model));
            if own.is_none() || own != chosen {
                faults.push(format!("{probe} with {model} is not the code of the model itself"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::budgets::Limits;
    use super::{Counts, faults};

    const LIMITS: Limits = Limits { instructions: 8, loads: 1, calls: 0 };

    const fn counts(instructions: usize, loads: usize, calls: usize) -> Counts {
        Counts { instructions, loads, calls }
    }

    #[test]
    fn budgets_are_limits_and_so_is_c() {
        assert!(faults(LIMITS, counts(8, 1, 0), counts(8, 1, 0)).is_empty());
        assert_eq!(faults(LIMITS, counts(9, 1, 0), counts(9, 1, 0)), ["9 instructions, allowed are 8"]);
        assert_eq!(faults(LIMITS, counts(8, 2, 0), counts(8, 2, 0)), ["2 loads, allowed are 1"]);
        assert_eq!(faults(LIMITS, counts(8, 1, 1), counts(8, 1, 1)), ["1 calls, allowed are 0"]);
        let slower = faults(LIMITS, counts(8, 1, 0), counts(7, 0, 0));
        assert_eq!(slower.len(), 2, "{slower:?}");
    }
}
