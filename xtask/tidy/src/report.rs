//! The text of the findings: a line for each, a table of what was checked, a sentence.

use std::fmt::Write;

use comfy_table::Cell;

use super::rules::{Rule, Violation};
use super::workspace::Workspace;
use sparsemem_terminal::{Colour, Screen, units::counted};

/// The findings of one rule.
pub(crate) struct Outcome<'a> {
    rule: &'a Rule,
    /// The things that it looked at, counted.
    seen: String,
    /// The places that break it.
    pub(crate) violations: Vec<Violation>,
}

impl<'a> Outcome<'a> {
    /// Runs `rule`.
    pub(crate) fn of(rule: &'a Rule, workspace: &Workspace) -> Self {
        Self { rule, seen: (rule.seen)(workspace), violations: (rule.check)(workspace) }
    }

    fn result(&self) -> Cell {
        match self.violations.len() {
            0 => Colour::Green.cell("ok"),
            count => Colour::Red.cell(&counted(count, "violation")),
        }
    }
}

/// The whole report.
pub(crate) fn render(outcomes: &[Outcome<'_>], screen: &Screen) -> String {
    let mut text = String::new();
    let mut table = screen.table(&["rule", "what holds", "checked", "result"]);
    for outcome in outcomes {
        let (rule, seen) = (outcome.rule, &outcome.seen);
        for violation in &outcome.violations {
            let Violation { path, line, what, remedy } = violation;
            let _ = writeln!(text, "{path}:{line}: {}: {what}; {remedy}", rule.name);
        }
        table.add_row([rule.name, rule.promise, seen].map(Cell::new).into_iter().chain([outcome.result()]));
    }
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}{table}\n{}", verdict(outcomes));
    text
}

fn verdict(outcomes: &[Outcome<'_>]) -> String {
    let kept = outcomes.iter().filter(|outcome| outcome.violations.is_empty()).count();
    match outcomes.iter().map(|outcome| outcome.violations.len()).sum() {
        0 => format!("All {kept} rules are kept."),
        errors => format!("{kept} of {} rules are kept; {}.", outcomes.len(), counted(errors, "violation")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::super::workspace::fixture;
    use super::{Outcome, render};
    use sparsemem_terminal::Screen;

    fn report(text: &str) -> String {
        let workspace = fixture::source("sparsemem-core", text);
        let outcomes: Vec<_> = RULES.iter().map(|rule| Outcome::of(rule, &workspace)).collect();
        render(&outcomes, &Screen::plain(80))
    }

    #[test]
    fn a_tidy_workspace_gets_a_table_and_a_sentence() {
        let said = report(&"//! Head.\n".repeat(100));
        assert!(said.ends_with(&format!("All {} rules are kept.\n", RULES.len())), "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    }

    #[test]
    fn violations_come_first_and_name_place_rule_and_remedy() {
        let said = report(&"//! Head.\n".repeat(401));
        assert!(said.starts_with("crates/core/src/lib.rs:1: file-size: 401 lines; split it"), "{said}");
        assert!(said.ends_with("1 violation.\n"), "{said}");
    }
}
