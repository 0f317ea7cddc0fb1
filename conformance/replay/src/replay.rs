//! The verdict on a replay: its unexplained differences from the recording.
//!
//! # Invariants
//!
//! 1. A difference without an entry in the list fails, and so does an entry without its difference.

use core::fmt;
use std::collections::BTreeMap;

use super::Recording;
use super::compare::{Comparison, Disagreement, Predicted};
use super::expectations::Expectation;
use super::rules::Rule;
use super::run::{self, Halt, Made};
use super::script::Step;
use super::{bootmem, suits};
use crate::suits::Unlike;
use sparsemem_altmap::AltmapModel;
use sparsemem_bootmem_registration::BootmemTag;
use sparsemem_core::{MemoryModel, MetadataModel};
use sparsemem_machine::Machine;
use sparsemem_suite::Capabilities;

/// The number of differences that are printed; further ones are only counted.
const SHOWN: usize = 20;

/// The end of a replay that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Every step was compared.
    Done(Replayed),
    /// There is nothing to compare.
    NotApplicable(Unlike),
}

/// The result of a replay without unexplained differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Steps that were compared.
    pub steps: usize,
    /// Differences that the list explains.
    pub explained: usize,
    /// Differences and refusals that rules predict, by rule.
    pub by_rule: BTreeMap<Rule, usize>,
}

/// The reason why a replay failed.
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
    /// True if this is an entry of the list without its difference.
    pub is_stale: bool,
    /// The prediction of a rule about the fact, in words, if a rule has one.
    pub rule: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, step, ops, what, expected, found, is_stale, rule } = self;
        write!(f, "{file}, step {step} ({ops}), {what}: ")?;
        if *is_stale {
            return write!(f, "expectations.toml is stale: it explains {found} instead of {expected}");
        }
        write!(f, "expected {expected}, found {found}")?;
        rule.as_ref().map_or(Ok(()), |rule| write!(f, "; {rule}"))
    }
}

/// The prediction of a rule, for messages.
fn by_rule(predicted: &Predicted) -> String {
    let Predicted { rule, linux, ours } = predicted;
    format!("by the rule `{}` Linux has {linux} and this project {ours}", rule.name())
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

/// Replays a recording on a model, and compares after every step. `make` makes the model, for the machine that it will be
/// on, and says what it can do.
///
/// The model gets the frames that the recording adds as a [reserve](MemoryModel::reserve).
///
/// # Errors
///
/// [`ReplayError`] with all unexplained differences.
pub fn replay<M, F>(recording: &Recording, make: F) -> Result<Replay, ReplayError>
where
    M: AltmapModel<Machine>,
    F: FnOnce(&Machine) -> (Box<M>, Capabilities),
{
    replay_made(recording, |machine| {
        let (model, can) = make(machine);
        Made { model, can, register: None }
    })
}

/// The same with a model that says where its metadata lies: then the tags of boot metadata are compared, too.
///
/// # Errors
///
/// [`ReplayError`] with all unexplained differences.
pub fn replay_registered<M, F>(recording: &Recording, make: F) -> Result<Replay, ReplayError>
where
    M: AltmapModel<Machine> + MetadataModel<Machine> + MemoryModel<Page: BootmemTag>,
    F: FnOnce(&Machine) -> (Box<M>, Capabilities),
{
    replay_made(recording, |machine| {
        let (model, can) = make(machine);
        Made { model, can, register: Some(bootmem::register) }
    })
}

/// Replays a recording on a model that `make` makes.
fn replay_made<M: AltmapModel<Machine>>(
    recording: &Recording,
    make: impl FnOnce(&Machine) -> Made<M>,
) -> Result<Replay, ReplayError> {
    let script = recording.script();
    let stopped = |Halt { step, doing, why }| {
        let file = recording.name().to_owned();
        ReplayError::Stopped { file, step, doing, why }
    };
    let (machine, _addresses) = run::machine(script).map_err(stopped)?;
    let made = make(&machine);
    if let Some(unlike) = suits::unlike::<M>(script, &made.can) {
        return Ok(Replay::NotApplicable(unlike));
    }
    let mut judge = Judge::new(recording, made.model.name());
    run::run(script, machine, made, &mut judge).map_err(stopped)?;
    judge.verdict().map(Replay::Done)
}

/// Compares differences with the list.
struct Judge<'r> {
    recording: &'r Recording,
    /// Entries of the list, and whether their difference was found.
    entries: Vec<(&'r Expectation, bool)>,
    differences: Vec<Difference>,
    by_rule: BTreeMap<Rule, usize>,
    /// Steps that are compared.
    steps: usize,
}

impl run::Judge for Judge<'_> {
    fn compared(&mut self, step: usize, comparison: Comparison) {
        comparison.by_rule.into_iter().for_each(|rule| self.refused(rule));
        self.step(step, comparison.disagreements);
    }

    fn refused(&mut self, rule: Rule) {
        *self.by_rule.entry(rule).or_default() += 1;
    }
}

impl<'r> Judge<'r> {
    fn new(recording: &'r Recording, model: &'r str) -> Self {
        let entries = recording.expectations(model);
        Self {
            recording,
            entries: entries.map(|entry| (entry, false)).collect(),
            differences: Vec::new(),
            by_rule: BTreeMap::new(),
            steps: recording.steps(),
        }
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
            let stale = Disagreement { what, expected, found: actual, predicted: None };
            self.difference(entry.step, stale, true)
        });
        let stale: Vec<Difference> = stale.collect();
        let by_rule = std::mem::take(&mut self.by_rule);
        let replayed = Replayed { steps: self.steps, explained: met.len(), by_rule };
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
            rule: it.predicted.map(|it| by_rule(&it)),
        }
    }
}
