//! The rules by which models differ from a recorded Linux on purpose, as far as cells needed them.

use std::collections::BTreeMap;

use sparsemem_report::Report;
use sparsemem_terminal::{Screen, units::counted};

/// Every rule once, with the number of its cells; empty if no cell needed one.
pub(super) fn text(report: &Report, screen: &Screen) -> String {
    let mut cells = BTreeMap::<&str, usize>::new();
    for it in &report.rules {
        *cells.entry(&it.rule).or_default() += 1;
    }
    if cells.is_empty() {
        return String::new();
    }
    let item =
        |(rule, count): (&str, usize)| screen.wrap(&format!("{rule} ({})", counted(count, "cell")), "    ");
    let items: String = cells.into_iter().map(item).collect();
    format!("Other than in Linux, by rule:\n{items}")
}

#[cfg(test)]
mod tests {
    use sparsemem_any::Backend;
    use sparsemem_report::{Report, RuleUse};

    use super::super::sample::passed;
    use super::text;
    use sparsemem_terminal::Screen;

    #[test]
    fn rules_are_told_once_with_the_number_of_their_cells() {
        let needs = |scenario: &str, rule: &str| RuleUse {
            scenario: scenario.to_owned(),
            backend: Backend::Vmemmap,
            rule: rule.to_owned(),
        };
        let rules = vec![
            needs("linux/a", "one: this."),
            needs("linux/a", "two: that."),
            needs("linux/b", "one: this."),
        ];
        let expected = "Other than in Linux, by rule:\n    one: this. (2 cells)\n    two: that. (1 cell)\n";
        assert_eq!(text(&Report::default().with_rules(rules), &Screen::plain(80)), expected);
    }

    #[test]
    fn where_no_rule_is_needed_nothing_is_said() {
        assert_eq!(text(&Report::new(vec![passed("boot/words", "a")]), &Screen::plain(80)), "");
    }
}
