//! The sentences of the report, made of its numbers.

mod lookups;
mod slow;

use super::Report;
use crate::lookups::MODELS;

/// A sentence, if there are numbers for it.
type Finding = fn(&Report<'_>) -> Option<String>;

/// Everything that can be said.
#[must_use]
pub fn findings(report: &Report<'_>) -> Vec<String> {
    let all: [Finding; 16] = [
        lookups::loads,
        lookups::against_c,
        lookups::unchecked,
        lookups::time_against_c,
        lookups::chosen,
        lookups::baselines,
        lookups::touched,
        lookups::pages,
        lookups::cold,
        slow::holes,
        slow::walks,
        slow::growth,
        slow::descriptors,
        slow::disturbed,
        lookups::subsection_bits,
        slow::bytes,
    ];
    all.iter().filter_map(|finding| finding(report)).collect()
}

/// The machine that lookups are quoted from.
fn machine<'r>(report: &Report<'r>) -> Option<&'r str> {
    report.machines.first().map(String::as_str)
}

/// `1.25 times as long as`, `0.80 times as long as`.
fn times(ratio: f64) -> String {
    format!("{ratio:.2} times as long as")
}

/// A ratio of each model, in the order of [`MODELS`].
fn of_each(ratio: impl Fn(&str) -> Option<f64>) -> Option<String> {
    let ratios = [ratio(MODELS[0])?, ratio(MODELS[1])?, ratio(MODELS[2])?];
    Some(ratios.map(|ratio| format!("{ratio:.2}")).join(", "))
}

#[cfg(test)]
mod tests {
    use super::findings;
    use crate::frames::Pattern;
    use crate::host::Host;
    use crate::lookups::MODELS;
    use crate::measure::Samples;
    use crate::report::Report;
    use crate::result::{Measured, Results};

    fn host() -> Host {
        let [processor, last_level_cache, kernel] = ["a processor", "1K", "Linux 0"].map(str::to_owned);
        Host { processor, processors: 1, last_level_cache, kernel, large_pages: "madvise".to_owned() }
    }

    fn said(results: &Results) -> Vec<String> {
        let machines = ["laptop".to_owned()];
        let report = Report {
            results,
            codegen: None,
            host: &host(),
            command: "cargo xtask bench",
            quick: true,
            machines: &machines,
        };
        findings(&report)
    }

    fn time(bench: &str, subject: &str, pattern: Pattern, ns: f64) -> Measured {
        Measured::time(bench, subject, pattern.name(), "laptop", &Samples(vec![ns]))
    }

    #[test]
    fn without_numbers_nothing_is_said() {
        assert_eq!(said(&Results::default()), [""; 0]);
    }

    #[test]
    fn sentences_have_the_numbers_of_the_results() {
        let mut results = Results::default();
        results.results.push(time("loop alone", "nothing", Pattern::Random, 0.25));
        for (model, ns) in MODELS.into_iter().zip([1.5, 2.5, 0.5]) {
            results.results.push(time("unchecked", model, Pattern::Random, ns));
        }
        let sentences = said(&results);
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        for number in [
            "1.50 ns on classic-sparse",
            "2.50 ns on sparse-extreme",
            "0.50 ns on vmemmap",
            "0.25 ns for the loop",
        ] {
            assert!(sentences[0].contains(number), "{number}: {sentences:?}");
        }
    }

    #[test]
    fn the_descriptor_is_the_larger_part_only_where_it_is() {
        let with = |touched: f64| {
            let mut results = Results::default();
            for subject in MODELS.into_iter().chain(["flat array"]) {
                results.results.push(time("unchecked", subject, Pattern::Random, 1.0));
                results.results.push(time("unchecked", subject, Pattern::RandomTouch, touched));
            }
            said(&results).iter().any(|sentence| sentence.contains("larger part"))
        };
        assert!(with(2.0) && !with(1.9));
    }
}
