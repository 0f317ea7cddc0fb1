//! The differences from Linux that this project has on purpose, as rules.
//!
//! A rule predicts from the operations of a recording what Linux has and what this project has instead. The replay
//! compares the recording with the first, and the model with the second. So a difference that no rule predicts is a
//! failure, and so is a predicted difference that is not there.
//!
//! # Invariants
//!
//! 1. No rule depends on the name of a recording.

mod ground;
mod hosted;
mod side;
mod stepped;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use sparsemem_any::Backend;
use sparsemem_core::{SectionNr, SectionShape, SubsectionBits};

use crate::facts::{Aspect, What};
use crate::recorded::Scope;
use crate::script::{Geo, Op, Script, Step};
use crate::words::{self, DESCRIPTOR};

pub(crate) use side::Refusal;

use hosted::Style;
use side::Side;

/// A difference from Linux on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Roots of a section table without a section.
    EmptyRoots,
    /// Usages of sections of boot that were removed.
    BootUsages,
    /// Sections of a node that begins inside a section.
    SteppedOver,
    /// Descriptors of partial sections in an altmap.
    AltmapForParts,
    /// An altmap without room for whole sections, on a table model.
    AltmapTooSmall,
    /// An altmap with descriptors that a neighbour needs, on a table model.
    AltmapStillNeeded,
}

/// The texts of a rule.
struct Texts {
    name: &'static str,
    linux: &'static str,
    ours: &'static str,
    why: &'static str,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 6] = [
        Self::EmptyRoots,
        Self::BootUsages,
        Self::SteppedOver,
        Self::AltmapForParts,
        Self::AltmapTooSmall,
        Self::AltmapStillNeeded,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().name
    }

    /// Whether the rule can apply to a backend.
    #[must_use]
    pub const fn is_about(self, backend: Backend) -> bool {
        match self {
            Self::EmptyRoots => backend.has_roots(),
            Self::AltmapTooSmall | Self::AltmapStillNeeded => !backend.has_array(),
            Self::BootUsages | Self::SteppedOver | Self::AltmapForParts => true,
        }
    }

    const fn texts(self) -> Texts {
        match self {
            Self::EmptyRoots => Texts {
                name: "empty-roots",
                linux: "keeps a root of the section table for ever (O-14)",
                ours: "a root goes with its last section",
                why: "removing memory gives back what adding it took",
            },
            Self::BootUsages => Texts {
                name: "boot-usages",
                linux: "keeps the usage of a boot section that is removed (U-18)",
                ours: "a usage goes with its section",
                why: "every usage is a block of its own",
            },
            Self::SteppedOver => Texts {
                name: "stepped-over",
                linux: "registers boot metadata section by section from a node's first frame on, and so misses the last \
                        section of a node that begins inside a section (B-30)",
                ours: "every section of boot is registered",
                why: "memory that holds a memmap must not go",
            },
            Self::AltmapForParts => Texts {
                name: "altmap-for-parts",
                linux: "takes the descriptors of a partial section from RAM, on x86, although the device has an altmap \
                        (V-15)",
                ours: "the altmap has them, as base pages of an array or in the section's block of a table model",
                why: "a device that brings memory for its descriptors takes no RAM",
            },
            Self::AltmapTooSmall => Texts {
                name: "altmap-too-small",
                linux: "has altmaps only with a virtual memmap, which does with single pages",
                ours: "a table model wants a block for every section, refuses an altmap that has no room for them, and is \
                       then given the device without the altmap",
                why: "the word of a section leads to one block",
            },
            Self::AltmapStillNeeded => Texts {
                name: "altmap-still-needed",
                linux: "has altmaps only with a virtual memmap, whose pages no two devices share",
                ours: "a table model refuses to remove a device whose altmap has the block of a section that a neighbour \
                       shares; both are then removed, and the neighbour is added again",
                why: "the neighbour would lose its descriptors",
            },
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Texts { name, linux, ours, why } = self.texts();
        write!(f, "{name}: Linux {linux}. Here {ours}, because {why}.")
    }
}

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

/// All rules, applied to one recording on one backend.
pub(crate) struct Rules<'s> {
    script: &'s Script,
    linux: Side<'s>,
    ours: Side<'s>,
}

impl<'s> Rules<'s> {
    /// The rules before boot.
    pub(crate) fn new(script: &'s Script, backend: Backend) -> Self {
        let style = if backend.has_array() { Style::Array } else { Style::Blocks };
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
        let mut predict = |rule, what, linux: Option<String>, ours: Option<String>| {
            if linux != ours {
                predictions.insert(what, Ruled { rule, linux, ours });
            }
        };
        if scope.roots {
            let roots = |sections| Some(words::numbers(self.roots(sections)));
            let (ever, now) = (self.linux.ground.ever().collect(), self.linux.ground.sections().collect());
            predict(Rule::EmptyRoots, What::Roots, roots(ever), roots(now));
        }
        self.boot_usages(scope, &mut predict);
        if scope.tags {
            let pages = (Geo::PAGES_PER_SECTION * DESCRIPTOR).div_ceil(Geo::PAGE_SIZE).to_string();
            for nr in
                stepped::over(&self.script.memory).into_iter().filter(|nr| self.linux.ground.is_early(*nr))
            {
                predict(Rule::SteppedOver, What::SectionInfo(nr.get()), None, Some(pages.clone()));
            }
        }
        if scope.subsections {
            self.altmaps(step, scope, &mut predict);
        }
        predictions
    }

    /// The roots of sections, in this project's numbers, by way of the recorded kernel's roots.
    fn roots(&self, sections: Vec<SectionNr>) -> BTreeSet<u64> {
        let per_root = self.script.kernel.sections_per_root.unwrap_or(Geo::SECTIONS_PER_ROOT);
        let first = |nr: SectionNr| SectionNr::new(nr.get() / per_root * per_root);
        sections.into_iter().map(|nr| words::root_of(first(nr))).collect()
    }

    fn boot_usages(
        &self,
        scope: Scope,
        predict: &mut impl FnMut(Rule, What, Option<String>, Option<String>),
    ) {
        let rule = Rule::BootUsages;
        let gone: Vec<SectionNr> = self.linux.ground.boot_gone().collect();
        for nr in gone.iter().map(|nr| nr.get()) {
            predict(rule, What::Section(nr, Aspect::Usage), Some(words::THERE.to_owned()), None);
            if scope.subsections {
                let none = SubsectionBits::EMPTY.hex::<Geo>().to_string();
                predict(rule, What::Section(nr, Aspect::Subsections), Some(none), None);
            }
        }
        let there = self.linux.ground.sections().len();
        predict(rule, What::Usages, Some((there + gone.len()).to_string()), Some(there.to_string()));
    }

    fn altmaps(
        &self,
        step: &Step,
        scope: Scope,
        predict: &mut impl FnMut(Rule, What, Option<String>, Option<String>),
    ) {
        let (linux, ours) = (&self.linux, &self.ours);
        let fact = |side: &Side<'_>, nr| side.hosted.fact(nr, &side.ground, &step.altmaps);
        for nr in linux.hosted.sections().chain(ours.hosted.sections()) {
            let what = What::Section(nr.get(), Aspect::Altmap);
            predict(Rule::AltmapForParts, what, fact(linux, nr), fact(ours, nr));
        }
        if scope.array {
            let facts = |runs: &[(u64, u64, u64)]| -> BTreeMap<u64, String> {
                runs.iter().map(|(start, end, size)| (*start, words::mapping(*end, *size))).collect()
            };
            let recorded = facts(&words::mapping_runs(&step.mapped));
            let split = facts(&words::mapping_runs(&words::with_base_pages(
                &step.mapped,
                ours.hosted.split_sections(),
            )));
            for start in recorded.keys().chain(split.keys()) {
                let value = |facts: &BTreeMap<u64, String>| facts.get(start).cloned();
                predict(Rule::AltmapForParts, What::Mapping(*start), value(&recorded), value(&split));
            }
        }
    }
}
