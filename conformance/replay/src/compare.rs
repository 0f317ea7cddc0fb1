//! The comparison of the facts of a recording with those of a model.
//!
//! # Invariants
//!
//! 1. A fact that only one side has counts as a difference, so neither side can omit a fact.

use std::collections::BTreeSet;

use super::facts::{Facts, What};
use super::rules::{Predictions, Rule, Ruled};

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
    /// Compares `self`, the recorded facts, with `found`, those of the model: equal where no rule predicts a difference,
    /// and different exactly as predicted where one does.
    pub(super) fn compare(&self, found: &Self, predictions: &Predictions) -> Comparison {
        let mut comparison = Comparison::default();
        let all: BTreeSet<&What> =
            self.subjects().chain(found.subjects()).chain(predictions.keys()).collect();
        for what in all {
            let (expected, found) = (self.get(what), found.get(what));
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
    use crate::facts::{Aspect, Facts, What};
    use crate::rules::{Predictions, Rule, Ruled};

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
