//! The skipped cells, grouped by their reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sparsemem_report::{Outcome, Report};

/// Reasons that are shown before the rest is only counted.
const SHOWN: usize = 20;

/// Scenarios that are named for a reason before it is only said how many there are.
const NAMED: usize = 3;

/// The reasons with their counts, the most frequent first; nothing if nothing was skipped.
pub(super) fn text(report: &Report) -> String {
    let groups = groups(report);
    if groups.is_empty() {
        return String::new();
    }
    let mut text = "Skipped, by reason:\n".to_owned();
    for (count, reason, scenarios) in groups.iter().take(SHOWN) {
        let _ = writeln!(text, "{count:>6}  {reason} ({})", named(scenarios));
    }
    if groups.len() > SHOWN {
        let rest = &groups[SHOWN..];
        let cells: usize = rest.iter().map(|(count, ..)| count).sum();
        let _ = writeln!(text, "{cells:>6}  for {} other reasons (`--format json` has them)", rest.len());
    }
    text
}

/// Count, reason, scenarios.
fn groups(report: &Report) -> Vec<(usize, &str, BTreeSet<&str>)> {
    let mut by_reason: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for result in report.results.iter().filter(|result| result.outcome == Outcome::Skipped) {
        let group = by_reason.entry(&result.detail).or_default();
        group.0 += 1;
        group.1.insert(&result.scenario);
    }
    let groups = by_reason.into_iter().map(|(reason, (count, scenarios))| (count, reason, scenarios));
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    groups
}

fn named(scenarios: &BTreeSet<&str>) -> String {
    if scenarios.len() > NAMED {
        return format!("{} scenarios", scenarios.len());
    }
    scenarios.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sparsemem_report::Report;

    use super::super::sample::{passed, skipped};
    use super::text;

    #[test]
    fn reasons_are_counted_and_sorted() {
        let report = Report::new(vec![
            skipped("boot/nodes", "a", "one node"),
            skipped("memmap/leaves", "a", "no mappings"),
            skipped("memmap/leaves", "b", "no mappings"),
            passed("boot/words", "a"),
        ]);
        let expected =
            "Skipped, by reason:\n     2  no mappings (memmap/leaves)\n     1  one node (boot/nodes)\n";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn nothing_skipped_nothing_said() {
        assert_eq!(text(&Report::new(vec![passed("boot/words", "a")])), "");
    }

    #[test]
    fn many_reasons_are_cut() {
        let results = (0..25).map(|nr| skipped("boot/words", "a", &format!("reason {nr:02}"))).collect();
        assert!(
            text(&Report::new(results)).ends_with("     5  for 5 other reasons (`--format json` has them)\n")
        );
    }
}
