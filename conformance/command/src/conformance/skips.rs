//! Cells that were not run, grouped by reason: those that were skipped, and those that do not apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sparsemem_report::{Outcome, Report};
use sparsemem_terminal::{Screen, units::counted};

/// The number of reasons for skipped cells that are shown; further ones are only counted.
const SKIPS: usize = 20;
/// The number of reasons for cells that do not apply that are shown; further ones are only counted, because they need
/// no action.
const REST: usize = 5;
/// A reason with at most this many scenarios names them; otherwise it only counts them.
const NAMED: usize = 3;

/// The reasons with their counts, the most frequent first; empty if everything was run.
pub(super) fn text(report: &Report, screen: &Screen) -> String {
    let rest = format!("{} do not apply:", counted(report.summary.not_applicable, "cell"));
    let skipped = section("Skipped, by reason:", &groups(report, Outcome::Skipped), SKIPS, screen);
    let rest = section(&rest, &groups(report, Outcome::NotApplicable), REST, screen);
    let gap = if skipped.is_empty() || rest.is_empty() { "" } else { "\n" };
    format!("{skipped}{gap}{rest}")
}

/// The cells that were not run for one reason.
struct Group<'r> {
    count: usize,
    reason: &'r str,
    scenarios: BTreeSet<&'r str>,
}

/// A heading and a line per reason; empty if there is no reason.
fn section(head: &str, groups: &[Group<'_>], shown: usize, screen: &Screen) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("{head}\n");
    for group in groups.iter().take(shown) {
        let _ = writeln!(text, "{}", group.line(screen.width));
    }
    if groups.len() > shown {
        let rest = &groups[shown..];
        let cells: usize = rest.iter().map(|group| group.count).sum();
        let _ = writeln!(
            text,
            "{cells:>6}  for {} (`--format json` has them)",
            counted(rest.len(), "other reason")
        );
    }
    text
}

fn groups(report: &Report, outcome: Outcome) -> Vec<Group<'_>> {
    let mut by_reason: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for result in report.results.iter().filter(|result| result.outcome == outcome) {
        let new = Group { count: 0, reason: &result.detail, scenarios: BTreeSet::new() };
        let group = by_reason.entry(&result.detail).or_insert(new);
        group.count += 1;
        group.scenarios.insert(&result.scenario);
    }
    let mut groups: Vec<_> = by_reason.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

impl Group<'_> {
    /// The count, the reason, and the names of the scenarios if they fit, or else their number.
    fn line(&self, width: usize) -> String {
        let plain = format!("{:>6}  {}", self.count, self.reason);
        let names: Vec<&str> = self.scenarios.iter().copied().collect();
        let few = (names.len() <= NAMED).then(|| names.join(", "));
        let said = few.into_iter().chain([counted(names.len(), "scenario")]);
        let mut lines = said.map(|said| format!("{plain} ({said})"));
        lines.find(|line| line.chars().count() <= width).unwrap_or(plain)
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_report::Report;

    use super::super::sample::{not_applicable, passed, skipped};
    use super::text;
    use sparsemem_terminal::Screen;

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
        assert_eq!(text(&report, &Screen::plain(80)), expected);
    }

    #[test]
    fn nothing_skipped_nothing_said() {
        assert_eq!(text(&Report::new(vec![passed("boot/words", "a")]), &Screen::plain(80)), "");
    }

    #[test]
    fn many_reasons_are_cut() {
        let results = (0..25).map(|nr| skipped("boot/words", "a", &format!("reason {nr:02}"))).collect();
        assert!(
            text(&Report::new(results), &Screen::plain(80))
                .ends_with("     5  for 5 other reasons (`--format json` has them)\n")
        );
    }

    #[test]
    fn what_does_not_apply_is_said_apart_and_shortly() {
        let reasons = (0..7).map(|nr| not_applicable("boot/words", "a", &format!("reason {nr}")));
        let report = Report::new(reasons.chain([skipped("boot/words", "b", "too large")]).collect());
        let said = text(&report, &Screen::plain(80));
        assert!(said.contains("     1  too large (boot/words)\n\n7 cells do not apply:\n"), "{said}");
        assert!(said.ends_with("     2  for 2 other reasons (`--format json` has them)\n"), "{said}");
    }

    #[test]
    fn names_that_do_not_fit_are_counted() {
        let reason = "4096 sections: nothing that smaller machines do not show";
        let report = Report::new(vec![skipped("boot/no-memory-one-by-one", "a", reason)]);
        let said = text(&report, &Screen::plain(80));
        assert!(said.ends_with("do not show (1 scenario)\n"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    }
}
