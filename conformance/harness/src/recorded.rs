//! A recording of Linux as the test of an author's model.

use sparsemem_replay::{Inside, Replay, ReplayError};
use sparsemem_suite::{Ended, Failure, NotRun, Place, Tally};

use crate::Verdict;

/// The end of a replay, as scenarios end.
pub(crate) fn verdict(inside: Inside, replayed: Result<Replay, ReplayError>) -> Verdict {
    match replayed {
        Ok(Replay::Done(_)) => Ok(Ended::Passed(Tally::default())),
        Ok(Replay::NotApplicable(why)) => not_applicable(&why.to_string()),
        Err(ReplayError::Different { differences }) if !differences.is_empty() => Err(first_of(&differences)),
        Err(error) => {
            Err(Failure::new(Place::Model, "the steps of the recording", inside.name, error.to_string()))
        }
    }
}

/// The end of a recording that a model cannot be compared with.
pub(crate) fn not_applicable(why: &str) -> Verdict {
    Ok(Ended::NotRun(NotRun::not_applicable(why)))
}

/// The first difference, and how many come after it.
fn first_of(differences: &[sparsemem_replay::Difference]) -> Failure {
    let [first, more @ ..] = differences else {
        return Failure::new(Place::Model, "the recording", "as recorded", "a difference");
    };
    let rule = first.rule.as_ref().map_or(String::new(), |rule| format!("; {rule}"));
    let more =
        if more.is_empty() { String::new() } else { format!(" (and {} more differences)", more.len()) };
    let what = format!("{} after step {} ({})", first.what, first.step, first.ops);
    Failure::new(Place::Model, &what, first.expected.clone(), format!("{}{rule}{more}", first.found))
}
