//! What cells that passed have to say: the rules by which models differ from Linux on purpose.

use std::collections::BTreeMap;

use sparsemem_report::{Outcome, Report};
use sparsemem_terminal::{Screen, units::counted};

/// Every line that a passed cell has to say, once, with the number of its cells; empty if there is none.
pub(super) fn text(report: &Report, screen: &Screen) -> String {
    let passed = report.results.iter().filter(|result| result.outcome == Outcome::Passed);
    let mut cells = BTreeMap::<&str, usize>::new();
    for line in passed.flat_map(|result| result.detail.lines()) {
        *cells.entry(line).or_default() += 1;
    }
    if cells.is_empty() {
        return String::new();
    }
    let item =
        |(line, count): (&str, usize)| screen.wrap(&format!("{line} ({})", counted(count, "cell")), "    ");
    let items: String = cells.into_iter().map(item).collect();
    format!("Other than in Linux, by rule:\n{items}")
}

#[cfg(test)]
mod tests {
    use sparsemem_report::{CellResult, Report};

    use super::super::sample::{passed, skipped};
    use super::text;
    use sparsemem_terminal::Screen;

    #[test]
    fn rules_are_told_once_with_the_number_of_their_cells() {
        let with = |detail: &str| CellResult { detail: detail.to_owned(), ..passed("linux/a", "a.json") };
        let report =
            Report::new(vec![with("one: this.\ntwo: that."), with("one: this."), skipped("b", "m", "why")]);
        let expected = "Other than in Linux, by rule:\n    one: this. (2 cells)\n    two: that. (1 cell)\n";
        assert_eq!(text(&report, &Screen::plain(80)), expected);
    }

    #[test]
    fn nothing_to_say_is_not_said() {
        assert_eq!(text(&Report::new(vec![passed("boot/words", "a")]), &Screen::plain(80)), "");
    }
}
