//! The differences from Linux that this project has on purpose, as rules.
//!
//! A rule predicts from the operations of a recording what Linux has and what this project has instead. The replay
//! compares the recording with the first, and the model with the second. So a difference that no rule predicts is a
//! failure, and so is a predicted difference that is not there.
//!
//! # Invariants
//!
//! 1. No rule depends on the name of a recording.

mod folded;
mod ground;
mod hosted;
mod rule;
mod side;
mod stepped;

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{SectionNr, SectionShape, SubsectionBits};

use crate::facts::{Aspect, What};
use crate::kernel::{DESCRIPTOR, Geo};
use crate::recorded::Scope;
use crate::script::{Op, Script, Step};
use crate::words;
use sparsemem_suite::Capabilities;

pub use rule::Rule;
pub(crate) use side::Refusal;

use hosted::Style;
use side::Side;

/// A fact that a rule predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruled {
    /// The rule.
    pub(crate) rule: Rule,
    /// The value that Linux has; `None` if it does not have the fact.
    pub(crate) linux: Option<String>,
    /// The value that this project has.
    pub(crate) ours: Option<String>,
}

/// Facts that rules predict.
pub(crate) type Predictions = BTreeMap<What, Ruled>;

/// Adds a prediction, if both sides differ.
fn predict(
    predictions: &mut Predictions,
    rule: Rule,
    what: What,
    linux: Option<String>,
    ours: Option<String>,
) {
    if linux != ours {
        predictions.insert(what, Ruled { rule, linux, ours });
    }
}

/// All rules, applied to one recording on one model.
pub(crate) struct Rules<'s> {
    script: &'s Script,
    linux: Side<'s>,
    ours: Side<'s>,
}

impl<'s> Rules<'s> {
    /// The rules before boot.
    pub(crate) fn new(script: &'s Script, can: &Capabilities) -> Self {
        let style = if can.array.is_some() { Style::Array } else { Style::Blocks };
        Self { script, linux: Side::new(script, Style::Linux), ours: Side::new(script, style) }
    }

    /// The refusal of an operation that rules predict for the model.
    pub(crate) fn refusal(&self, op: Op) -> Option<Refusal> {
        self.ours.refusal(op)
    }

    /// Follows an operation of the recording.
    pub(crate) fn recorded(&mut self, op: Op) {
        self.linux.apply(op);
    }

    /// Follows an operation that the model did.
    pub(crate) fn done(&mut self, op: Op) {
        self.ours.apply(op);
    }

    /// The facts after a step that rules predict, in the scope of the comparison.
    pub(crate) fn predictions(&self, step: &Step, scope: Scope) -> Predictions {
        let mut predictions = Predictions::new();
        if scope.roots {
            self.empty_roots(&mut predictions);
        }
        self.boot_usages(scope, &mut predictions);
        if scope.tags {
            self.stepped_over(&mut predictions);
        }
        if scope.subsections {
            self.altmaps(step, &mut predictions);
        }
        if scope.array {
            self.split_mappings(step, &mut predictions);
        }
        if scope.pages {
            self.folded_tails(&mut predictions);
        }
        predictions
    }

    fn empty_roots(&self, predictions: &mut Predictions) {
        let ground = &self.linux.ground;
        let (ever, now) = (self.roots(ground.ever()), self.roots(ground.sections()));
        predict(predictions, Rule::EmptyRoots, What::Roots, Some(ever), Some(now));
    }

    /// The roots of sections, in this project's numbers, by way of the recorded kernel's roots.
    fn roots(&self, sections: impl Iterator<Item = SectionNr>) -> String {
        let per_root = self.script.kernel.sections_per_root.unwrap_or(Geo::SECTIONS_PER_ROOT);
        let first = |nr: SectionNr| SectionNr::new(nr.get() / per_root * per_root);
        let roots: BTreeSet<u64> = sections.map(|nr| words::root_of(first(nr))).collect();
        words::numbers(roots)
    }

    fn boot_usages(&self, scope: Scope, predictions: &mut Predictions) {
        let rule = Rule::BootUsages;
        let gone: Vec<u64> = self.linux.ground.boot_gone().map(SectionNr::get).collect();
        for nr in gone.iter().copied() {
            let there = Some(words::THERE.to_owned());
            predict(predictions, rule, What::Section(nr, Aspect::Usage), there, None);
            if scope.subsections {
                let none = SubsectionBits::EMPTY.hex::<Geo>().to_string();
                predict(predictions, rule, What::Section(nr, Aspect::Subsections), Some(none), None);
            }
        }
        let there = self.linux.ground.sections().len();
        let (linux, ours) = ((there + gone.len()).to_string(), there.to_string());
        predict(predictions, rule, What::Usages, Some(linux), Some(ours));
    }

    fn stepped_over(&self, predictions: &mut Predictions) {
        let pages = (Geo::PAGES_PER_SECTION * DESCRIPTOR).div_ceil(Geo::PAGE_SIZE).to_string();
        let there = |nr: &SectionNr| self.linux.ground.is_early(*nr);
        for nr in stepped::over(&self.script.memory).into_iter().filter(there) {
            predict(predictions, Rule::SteppedOver, What::SectionInfo(nr.get()), None, Some(pages.clone()));
        }
    }

    /// The places of descriptors in altmaps.
    fn altmaps(&self, step: &Step, predictions: &mut Predictions) {
        let (linux, ours) = (&self.linux, &self.ours);
        let fact = |side: &Side<'_>, nr| side.hosted.fact(nr, &side.ground, &step.altmaps);
        for nr in linux.hosted.sections().chain(ours.hosted.sections()) {
            let what = What::Section(nr.get(), Aspect::Altmap);
            predict(predictions, Rule::AltmapForParts, what, fact(linux, nr), fact(ours, nr));
        }
    }

    /// The pages of sections whose descriptors are folded.
    fn folded_tails(&self, predictions: &mut Predictions) {
        let side = &self.linux;
        for nr in side.folded.sections() {
            let (linux, ours) = side.folded.pages(nr, &side.ground);
            let what = What::Section(nr.get(), Aspect::Pages);
            predict(predictions, Rule::FoldedTails, what, Some(linux.to_string()), Some(ours.to_string()));
        }
    }

    /// Base pages of whole sections, where base pages of other sections left no large block in an altmap.
    fn split_mappings(&self, step: &Step, predictions: &mut Predictions) {
        let facts = |leaves: &[(u64, u64, u64)]| -> BTreeMap<u64, String> {
            let runs = words::mapping_runs(leaves).into_iter();
            runs.map(|(start, end, size)| (start, words::mapping(end, size))).collect()
        };
        let recorded = facts(&step.mapped);
        let split = facts(&words::with_base_pages(&step.mapped, self.ours.hosted.split_sections()));
        for start in recorded.keys().chain(split.keys()) {
            let (linux, ours) = (recorded.get(start).cloned(), split.get(start).cloned());
            predict(predictions, Rule::AltmapForParts, What::Mapping(*start), linux, ours);
        }
    }
}
