//! How the findings look: a line for each, a table of what was checked, a sentence.

use std::fmt::Write;

use comfy_table::Cell;

use super::rules::Rule;
use super::violation::{Violation, Weight};
use super::workspace::Workspace;
use sparsemem_terminal::{Colour, Screen, units::counted};

/// What one rule found.
pub(crate) struct Outcome<'a> {
    /// The rule.
    pub(crate) rule: &'a Rule,
    /// What breaks it.
    pub(crate) violations: Vec<Violation>,
}

impl Outcome<'_> {
    fn count(&self, weight: Weight) -> usize {
        self.violations.iter().filter(|violation| violation.weight == weight).count()
    }
}

/// How many findings fail the run.
pub(crate) fn errors(outcomes: &[Outcome<'_>]) -> usize {
    outcomes.iter().map(|outcome| outcome.count(Weight::Error)).sum()
}

/// The whole report.
pub(crate) fn render(workspace: &Workspace, outcomes: &[Outcome<'_>], screen: &Screen) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        for violation in &outcome.violations {
            let _ = writeln!(text, "{}", violation.named(outcome.rule.name));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let mut table = screen.table(&["rule", "what holds", "checked", "result"]);
    for outcome in outcomes {
        let (promise, checked) = (outcome.rule.promise.to_owned(), outcome.rule.scope.count(workspace));
        let start = [outcome.rule.name.to_owned(), promise, checked];
        table.add_row(start.into_iter().map(Cell::new).chain([result(outcome)]));
    }
    let _ = writeln!(text, "{table}\n{}", verdict(outcomes));
    text
}

fn result(outcome: &Outcome<'_>) -> Cell {
    match (outcome.count(Weight::Error), outcome.count(Weight::Warning)) {
        (0, 0) => Colour::Green.cell("ok"),
        (0, warnings) => Colour::Yellow.cell(&format!("ok, {}", counted(warnings, "warning"))),
        (errors, _) => Colour::Red.cell(&counted(errors, "violation")),
    }
}

fn verdict(outcomes: &[Outcome<'_>]) -> String {
    let kept = outcomes.iter().filter(|outcome| outcome.count(Weight::Error) == 0).count();
    match errors(outcomes) {
        0 => format!("All {} rules are kept.", outcomes.len()),
        errors => format!("{} of {} rules are kept; {}.", kept, outcomes.len(), counted(errors, "violation")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::library;
    use super::super::rules::RULES;
    use super::{Outcome, render};
    use sparsemem_terminal::Screen;

    fn report(text: &str) -> String {
        let workspace = library("xtask", text);
        let run = |rule| Outcome { rule, violations: (rule.check)(&workspace) };
        let outcomes: Vec<_> = RULES.iter().map(run).collect();
        render(&workspace, &outcomes, &Screen::plain(100))
    }

    #[test]
    fn a_tidy_workspace_gets_a_table_and_a_sentence() {
        let said = report("//! Head.\n#![forbid(unsafe_code)]\n");
        assert!(said.ends_with(&format!("All {} rules are kept.\n", RULES.len())), "{said}");
        assert!(said.contains("1 sources"), "{said}");
    }

    #[test]
    fn violations_come_first_and_name_place_rule_and_remedy() {
        let said = report("//! Head.\n#![forbid(unsafe_code)]\nfn a() { dbg!(1) }\n");
        assert!(said.starts_with("crates/xtask/src/lib.rs:3: unfinished: `dbg!`; take it out\n"), "{said}");
        assert!(said.ends_with("1 violation.\n"), "{said}");
    }
}
