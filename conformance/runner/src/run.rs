//! Runs cells.
//!
//! # Invariants
//!
//! 1. A panic in the tested code is a failed cell, not the end of the run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sparsemem_core::MemoryRange;
use sparsemem_suite::{Capabilities, Ended, Facts, NotRun, Scenario, Subject, Tally, touched_sections};

use crate::Cell;
use crate::catalogue::{Runnable, find};
use crate::subjects::{exists, with_subject};
use crate::variant::Variant;
use sparsemem_replay::Rule;
use sparsemem_report::{CellResult, Outcome, Report, RuleUse, Verdict, World};

/// The end of one cell's run, without what the cell itself says. It can be sent from one process to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason why the cell did not pass; empty if it did.
    pub detail: String,
    /// The number of simulated failures.
    pub failure_points: u64,
    /// Wall time in milliseconds.
    pub duration_ms: f64,
    /// The rules that the cell needed, by which a model differs from Linux on purpose.
    pub rules: Vec<String>,
}

impl Done {
    /// A failure that only the reason is known of.
    #[must_use]
    pub const fn failed(why: String) -> Self {
        Self { outcome: Outcome::Failed, detail: why, failure_points: 0, duration_ms: 0.0, rules: Vec::new() }
    }

    /// The entries of a report for the cell that ended so.
    fn of(self, cell: &Cell) -> (CellResult, Vec<RuleUse>) {
        let Self { outcome, detail, failure_points, duration_ms, rules } = self;
        let (scenario, backend) = (&cell.scenario, cell.backend);
        let rule_use = |rule| RuleUse { scenario: scenario.clone(), backend, rule };
        let result = CellResult {
            scenario: scenario.clone(),
            world: World::Host,
            arch: None,
            backend,
            machine: cell.machine.name.clone(),
            outcome,
            detail,
            failure_points,
            duration_ms,
        };
        (result, rules.into_iter().map(rule_use).collect())
    }
}

/// The counts and the rules of a cell while it runs.
#[derive(Default)]
struct Course {
    tally: Tally,
    rules: Vec<Rule>,
}

/// Runs one cell in this process; a panic is a failure.
#[must_use]
pub fn run_cell(cell: &Cell) -> Done {
    let start = Instant::now();
    let mut course = Course::default();
    let caught = catch_unwind(AssertUnwindSafe(|| verdict(cell, &mut course)));
    let (outcome, detail) = caught.unwrap_or_else(|panic| (Outcome::Failed, message(&*panic)));
    Done {
        outcome,
        detail,
        failure_points: course.tally.failure_points,
        duration_ms: start.elapsed().as_secs_f64() * 1000.0,
        rules: course.rules.iter().map(ToString::to_string).collect(),
    }
}

/// A place where cells run, one after the other: a thread of this process, or another process.
pub trait Worker: Send {
    /// Runs the cell that has this index in the list of all cells.
    fn run(&mut self, index: usize, cell: &Cell) -> Done;
}

/// Cells run in the thread that asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Here;

impl Worker for Here {
    fn run(&mut self, _index: usize, cell: &Cell) -> Done {
        run_cell(cell)
    }
}

/// Runs cells on workers, each on a thread of its own, and passes each result to `on_done` as soon as it is there.
pub fn run<W: Worker>(cells: &[Cell], workers: Vec<W>, on_done: &(dyn Fn(&CellResult) + Sync)) -> Report {
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::with_capacity(cells.len()));
    let work = |mut worker: W| {
        // Relaxed: only the number counts; results are handed over through a lock.
        let take = || Some(next.fetch_add(1, Ordering::Relaxed));
        for (index, cell) in std::iter::from_fn(take).map_while(|index| Some((index, cells.get(index)?))) {
            let (result, rules) = worker.run(index, cell).of(cell);
            on_done(&result);
            ended.lock().unwrap_or_else(PoisonError::into_inner).push((index, result, rules));
        }
    };
    std::thread::scope(|scope| {
        for worker in workers {
            scope.spawn(|| work(worker));
        }
    });
    let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.sort_by_key(|(index, ..)| *index);
    let (results, rules): (_, Vec<_>) = ended.into_iter().map(|(_, result, rules)| (result, rules)).unzip();
    Report::new(results).with_rules(rules.concat())
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

/// Runs the scenario that the cell names.
fn verdict(cell: &Cell, course: &mut Course) -> Verdict {
    match find(&cell.scenario) {
        Some(Runnable::Portable(scenario, variant)) => portable(cell, scenario, variant, &mut course.tally),
        Some(Runnable::Host(scenario)) => (scenario.function)(&cell.machine, cell.backend),
        Some(Runnable::Recording) => recording(cell, course),
        None => (Outcome::Failed, format!("there is no scenario `{}`", cell.scenario)),
    }
}

/// Replays a recording, and keeps the rules that it needs.
fn recording(cell: &Cell, course: &mut Course) -> Verdict {
    let (verdict, rules) = crate::linux::replay_cell(&cell.machine, cell.backend);
    course.rules.extend(rules);
    verdict
}

/// Runs a scenario of the registry.
fn portable(cell: &Cell, scenario: &Scenario, variant: Variant, tally: &mut Tally) -> Verdict {
    if variant.is_of_an_array() && !cell.backend.has_array() {
        return (Outcome::NotApplicable, "the variant is of models with mappings of their own".to_owned());
    }
    if !exists(cell.machine.geometry, variant) {
        return not_compiled(cell, scenario);
    }
    let mut verdict = (Outcome::Failed, "the scenario was not run".to_owned());
    let made = with_subject(&cell.machine, cell.backend, variant, &mut |subject, can, memory| {
        // A scenario that does not apply is reported as such, also on machines that are too large.
        let suits = (scenario.suits)(&Facts::new(subject, can, memory));
        verdict = match too_large(subject, memory, variant) {
            Some(why) if !matches!(suits, Err(NotRun::NotApplicable(_))) => (Outcome::Skipped, why),
            _ => run_on(scenario, subject, can, memory, tally),
        };
    });
    made.map_or_else(|error| (Outcome::Failed, format!("no machine: {error}")), |()| verdict)
}

/// The verdict on a variant that no model was compiled for: it is skipped, unless the scenario does not apply to the usual
/// variant either.
fn not_compiled(cell: &Cell, scenario: &Scenario) -> Verdict {
    let mut verdict =
        (Outcome::Skipped, "this variant is compiled for the geometry of x86_64 only".to_owned());
    let made = with_subject(&cell.machine, cell.backend, Variant::Usual, &mut |subject, can, memory| {
        if let Err(NotRun::NotApplicable(what)) = (scenario.suits)(&Facts::new(subject, can, memory)) {
            verdict = (Outcome::NotApplicable, what.to_string());
        }
    });
    made.map_or_else(|error| (Outcome::Failed, format!("no machine: {error}")), |()| verdict)
}

/// Runs a scenario on a subject.
fn run_on(
    scenario: &Scenario,
    subject: &mut dyn Subject,
    can: Capabilities,
    memory: &[MemoryRange],
    tally: &mut Tally,
) -> Verdict {
    match sparsemem_suite::run(scenario, subject, can, memory) {
        Ok(Ended::Passed(done)) => {
            *tally = done;
            (Outcome::Passed, String::new())
        }
        Ok(Ended::NotRun(NotRun::NotApplicable(what))) => (Outcome::NotApplicable, what.to_string()),
        Ok(Ended::NotRun(NotRun::Skipped(why))) => (Outcome::Skipped, why.to_string()),
        Err(failure) => (Outcome::Failed, failure.to_string()),
    }
}

/// The largest number of mappings of one machine: a process of the host can have about 65 000 mappings, and a few
/// machines run at a time.
const MAPPINGS: u64 = 10_000;

/// Variants run on machines of at most this many sections.
const VARIED_SECTIONS: u64 = 600;
/// Some variants run almost every scenario, so only machines of at most this many sections have them.
const FEW_SECTIONS: u64 = 12;

/// The reason why a machine is too large for a variant, if it is. Small leaves need one mapping of the host each.
fn too_large(subject: &dyn Subject, memory: &[MemoryRange], variant: Variant) -> Option<String> {
    if variant == Variant::Usual {
        return None;
    }
    let sections = touched_sections(&subject.shape(), memory);
    let memmap = subject.shape().section_frames() * subject.descriptor_bytes();
    let leaves = sections * memmap.div_ceil(variant.page_bytes());
    let most = if variant.runs_most() { FEW_SECTIONS } else { VARIED_SECTIONS };
    if sections > most {
        return Some(format!("{sections} sections: variants run on smaller machines"));
    }
    (variant.has_small_leaves() && leaves > MAPPINGS)
        .then(|| format!("{leaves} small mappings: a process of the host cannot have that many"))
}
