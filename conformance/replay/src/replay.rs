//! The verdict on a replay: its unexplained differences from the recording.
//!
//! # Invariants
//!
//! 1. A difference without an entry in the list fails, and so does an entry without its difference.

use core::fmt;

use super::Recording;
use super::expectations::Expectation;
use super::facts::Disagreement;
use super::run::{self, Halt};
use super::script::Step;
use sparsemem_any::Backend;

/// The number of differences that are printed; further ones are only counted.
const SHOWN: usize = 20;

/// The result of a replay without unexplained differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Steps that were compared.
    pub steps: usize,
    /// Differences that the list explains.
    pub explained: usize,
}

/// Why a replay failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The replay stopped: this project refuses a step that Linux took, or has a fault.
    #[error("{file}{}: {doing}: {why}", at_step(*step))]
    Stopped {
        /// The recording.
        file: String,
        /// The step, counted from 0, if the replay stopped in one.
        step: Option<usize>,
        /// The operation.
        doing: String,
        /// The reason.
        why: String,
    },
    /// Some facts differ from the recording.
    #[error("{}", listed(differences))]
    Different {
        /// All differences that are not explained, and explanations without a difference.
        differences: Vec<Difference>,
    },
}

/// A fact that differs from the recording, or an explanation of a fact that does not differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The recording.
    pub file: String,
    /// The step, counted from 0.
    pub step: usize,
    /// The operations of the step.
    pub ops: String,
    /// The fact: `section 6 flags`.
    pub what: String,
    /// The recorded value, or for a stale entry, the recorded value in the list.
    pub expected: String,
    /// The model's value, or for a stale entry, the model's value in the list.
    pub found: String,
    /// Whether this is an entry of the list without its difference.
    pub is_stale: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, step, ops, what, expected, found, is_stale } = self;
        write!(f, "{file}, step {step} ({ops}), {what}: ")?;
        if *is_stale {
            return write!(f, "expectations.toml is stale: it explains {found} instead of {expected}");
        }
        write!(f, "expected {expected}, found {found}")
    }
}

/// The step, for messages.
fn at_step(step: Option<usize>) -> String {
    step.map_or(String::new(), |step| format!(", step {step}"))
}

/// The first differences, one per line.
fn listed(differences: &[Difference]) -> String {
    let mut lines: Vec<String> = differences.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!(".. and {more} more differences"));
    }
    lines.join("\n")
}

/// Replays a recording on a backend and compares after every step.
///
/// # Errors
///
/// [`ReplayError`] with all unexplained differences.
pub fn replay(recording: &Recording, backend: Backend) -> Result<Replayed, ReplayError> {
    let mut judge = Judge::new(recording, backend);
    run::run(recording.script(), backend, &mut |step, found| judge.step(step, found)).map_err(|halt| {
        let Halt { step, doing, why } = halt;
        ReplayError::Stopped { file: recording.name().to_owned(), step, doing, why }
    })?;
    judge.verdict()
}

/// Compares differences with the list.
struct Judge<'r> {
    recording: &'r Recording,
    /// Entries of the list, and whether their difference was found.
    entries: Vec<(&'r Expectation, bool)>,
    differences: Vec<Difference>,
}

impl<'r> Judge<'r> {
    fn new(recording: &'r Recording, backend: Backend) -> Self {
        let entries = recording.expectations(backend);
        Self { recording, entries: entries.map(|entry| (entry, false)).collect(), differences: Vec::new() }
    }

    /// Adds the differences of a step.
    fn step(&mut self, step: usize, found: Vec<Disagreement>) {
        for it in found {
            let explains = |entry: &Expectation| {
                entry.step == step
                    && entry.what == it.what
                    && entry.expected == it.expected
                    && entry.actual == it.found
            };
            match self.entries.iter_mut().find(|(entry, _)| explains(entry)) {
                Some((_, met)) => *met = true,
                None => self.differences.push(self.difference(step, it, false)),
            }
        }
    }

    /// The verdict after the last step.
    fn verdict(mut self) -> Result<Replayed, ReplayError> {
        let (met, stale): (Vec<_>, Vec<_>) = self.entries.iter().partition(|(_, met)| *met);
        let stale = stale.into_iter().map(|(entry, _)| {
            let Expectation { what, expected, actual, .. } = (*entry).clone();
            self.difference(entry.step, Disagreement { what, expected, found: actual }, true)
        });
        let stale: Vec<Difference> = stale.collect();
        let replayed = Replayed { steps: self.recording.script().steps.len(), explained: met.len() };
        self.differences.extend(stale);
        if self.differences.is_empty() {
            return Ok(replayed);
        }
        Err(ReplayError::Different { differences: self.differences })
    }

    fn difference(&self, step: usize, it: Disagreement, is_stale: bool) -> Difference {
        let ops = |step: &Step| step.ops.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Difference {
            file: self.recording.name().to_owned(),
            step,
            ops: self.recording.script().steps.get(step).map_or("no such step".to_owned(), ops),
            what: it.what,
            expected: it.expected,
            found: it.found,
            is_stale,
        }
    }
}
