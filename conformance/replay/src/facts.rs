//! Named facts about one moment of a replay: those of the recording are compared with those of the model.
//!
//! # Invariants
//!
//! 1. A fact that only one side has counts as a difference, so neither side can omit a fact.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Predictions, Rule, Ruled};

/// The subject of a fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A property of a section.
    Section(u64, Aspect),
    /// The roots of the section table, by the first section of each.
    Roots,
    /// The number of usages.
    Usages,
    /// A run of equal mappings of the array, by its offset.
    Mapping(u64),
    /// A run of RAM in the resource tree, by its first address.
    Ram(u64),
    /// A device in the resource tree, by its first address.
    Device(u64),
    /// Pages that carry the tag of a section's memmap.
    SectionInfo(u64),
    /// Pages that carry the tag of a node's data, by the node.
    NodeInfo(u64),
    /// The types of tags that occur.
    TagTypes,
}

/// A property of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    /// The flags of its word.
    Flags,
    /// Its subsection map.
    Subsections,
    /// Whether the section has a memmap; with an array, its place.
    Memmap,
    /// Whether the section has a usage.
    Usage,
    /// The section's descriptors that lie in the memory of a device, and their places.
    Altmap,
}

impl Aspect {
    /// The property's name in lists of differences.
    const fn name(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::Subsections => "subsections",
            Self::Memmap => "memmap",
            Self::Usage => "usage",
            Self::Altmap => "altmap",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(nr, aspect) => write!(f, "section {nr} {}", aspect.name()),
            Self::Roots => f.write_str("roots"),
            Self::Usages => f.write_str("usages"),
            Self::Mapping(offset) => write!(f, "vmemmap {offset:#x}"),
            Self::Ram(address) => write!(f, "ram {address:#x}"),
            Self::Device(address) => write!(f, "device {address:#x}"),
            Self::SectionInfo(nr) => write!(f, "section {nr} bootmem pages"),
            Self::NodeInfo(node) => write!(f, "node {node} bootmem pages"),
            Self::TagTypes => f.write_str("bootmem types"),
        }
    }
}

/// Facts about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(BTreeMap<What, String>);

/// A fact that is not as it should be: the two sides differ where no rule says so, or not as a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    /// The subject of the fact.
    pub(super) what: String,
    /// The recorded value.
    pub(super) expected: String,
    /// The model's value.
    pub(super) found: String,
    /// The rule that predicts other values, with these values.
    pub(super) predicted: Option<Predicted>,
}

/// The values that a rule predicts for a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Predicted {
    /// The rule.
    pub(super) rule: Rule,
    /// Linux' value.
    pub(super) linux: String,
    /// This project's value.
    pub(super) ours: String,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The facts that are not as they should be.
    pub(super) disagreements: Vec<Disagreement>,
    /// The rule of each fact that differs as a rule predicts.
    pub(super) by_rule: Vec<Rule>,
}

/// The value of a fact that one side does not have.
const NOTHING: &str = "nothing";

impl Facts {
    /// Adds a fact.
    pub(super) fn note(&mut self, what: What, value: impl fmt::Display) {
        self.0.insert(what, value.to_string());
    }

    /// Compares `self`, the recorded facts, with `found`, those of the model: equal where no rule predicts a difference,
    /// and different exactly as predicted where one does.
    pub(super) fn compare(&self, found: &Self, predictions: &Predictions) -> Comparison {
        let mut comparison = Comparison::default();
        let all: BTreeSet<&What> = self.0.keys().chain(found.0.keys()).chain(predictions.keys()).collect();
        for what in all {
            let (expected, found) = (self.0.get(what), found.0.get(what));
            match predictions.get(what) {
                None if expected == found => continue,
                Some(ruled) if ruled.linux.as_ref() == expected && ruled.ours.as_ref() == found => {
                    comparison.by_rule.push(ruled.rule);
                    continue;
                }
                ruled => comparison.disagreements.push(Disagreement {
                    what: what.to_string(),
                    expected: said(expected),
                    found: said(found),
                    predicted: ruled.map(predicted),
                }),
            }
        }
        comparison
    }
}

/// A value in words.
fn said(value: Option<&String>) -> String {
    value.map_or(NOTHING, String::as_str).to_owned()
}

/// A prediction in words.
fn predicted(ruled: &Ruled) -> Predicted {
    Predicted { rule: ruled.rule, linux: said(ruled.linux.as_ref()), ours: said(ruled.ours.as_ref()) }
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Predictions, Rule, Ruled};
    use super::{Aspect, Facts, What};

    fn roots(value: &str) -> Facts {
        let mut facts = Facts::default();
        facts.note(What::Roots, value);
        facts
    }

    #[test]
    fn what_one_side_lacks_is_a_disagreement() {
        let (mut recorded, mut found) = (roots("0"), roots("0"));
        recorded.note(What::Section(6, Aspect::Flags), "PRESENT");
        found.note(What::Mapping(0x20_0000), "to 0x400000");
        let said = recorded.compare(&found, &Predictions::new()).disagreements;
        let said: Vec<_> = said.into_iter().map(|it| (it.what, it.found)).collect();
        let expected = [("section 6 flags", "nothing"), ("vmemmap 0x200000", "to 0x400000")];
        assert_eq!(said, expected.map(|(what, found)| (what.to_owned(), found.to_owned())));
    }

    #[test]
    fn a_predicted_difference_has_to_be_there_on_both_sides() {
        let value = |value: &str| Some(value.to_owned());
        let ruled = Ruled { rule: Rule::EmptyRoots, linux: value("0, 2"), ours: value("0") };
        let predictions = Predictions::from([(What::Roots, ruled)]);
        let compare = |linux, ours| roots(linux).compare(&roots(ours), &predictions);
        assert_eq!(compare("0, 2", "0").by_rule, [Rule::EmptyRoots]);
        for (linux, ours) in [("0", "0"), ("0, 2", "0, 2"), ("0, 3", "0"), ("0, 2", "2")] {
            let [wrong] = &compare(linux, ours).disagreements[..] else { panic!("{linux}, {ours}") };
            assert_eq!(wrong.predicted.as_ref().map(|it| it.linux.as_str()), Some("0, 2"));
        }
        let without = Facts::default().compare(&Facts::default(), &predictions);
        assert_eq!(without.disagreements.len(), 1, "the prediction counts also where nobody has the fact");
    }
}
