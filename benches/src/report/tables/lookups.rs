//! The tables of lookups.

use std::fmt::Write;

use super::{owned, table, time_cell};
use crate::frames::Pattern;
use crate::lookups::COLD;
use crate::report::Report;
use crate::result::{Measured, Results};

pub(super) fn instructions(report: &Report<'_>, text: &mut String) {
    let Some(codegen) = report.codegen else { return };
    text.push_str("## Instructions of a lookup\n\n");
    let rows = codegen.lookups.iter().map(|counted| {
        let counts = [counted.instructions, counted.c_instructions, counted.loads, counted.c_loads];
        std::iter::once(format!("`{}`", counted.probe)).chain(counts.map(|count| count.to_string())).collect()
    });
    let head = owned(["lookup", "instructions", "in C", "loads", "in C"]);
    table(text, &head, &rows.collect::<Vec<_>>());
}

/// All patterns of a machine as columns, all subjects as rows, one table per question.
pub(super) fn lookups(report: &Report<'_>, machine: &str, text: &mut String) {
    let of_machine: Vec<&Measured> = report
        .results
        .results
        .iter()
        .filter(|measured| measured.machine == machine && is_lookup(measured))
        .collect();
    if of_machine.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Lookups on {machine}\n\n![time by model and pattern](plots/lookup-{machine}.svg)\n"
    );
    subject_tables(report.results, &of_machine, machine, text);
}

fn is_lookup(measured: &Measured) -> bool {
    PATTERNS.iter().any(|pattern| pattern.name() == measured.pattern)
}

/// The patterns, in the order of columns.
const PATTERNS: [Pattern; 7] = [
    Pattern::Hot,
    Pattern::Sequential,
    Pattern::Random,
    Pattern::Cold,
    Pattern::SequentialTouch,
    Pattern::RandomTouch,
    Pattern::TlbTouch,
];

fn subject_tables(results: &Results, of_machine: &[&Measured], machine: &str, text: &mut String) {
    let patterns: Vec<&str> = PATTERNS
        .iter()
        .map(|pattern| pattern.name())
        .filter(|pattern| of_machine.iter().any(|measured| measured.pattern == *pattern))
        .collect();
    let mut subjects: Vec<(&str, &str)> = Vec::new();
    for measured in of_machine {
        let subject = (measured.bench.as_str(), measured.subject.as_str());
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects.sort_by_key(|(bench, _)| bench_order(bench));
    let rows = subjects.iter().map(|(bench, subject)| {
        let times = patterns.iter().map(|pattern| time_cell(results.time(bench, subject, pattern, machine)));
        [(*bench).to_owned(), (*subject).to_owned()].into_iter().chain(times).collect()
    });
    let head = ["question", "who answers"].into_iter().chain(patterns.iter().copied()).map(str::to_owned);
    table(text, &head.collect::<Vec<_>>(), &rows.collect::<Vec<Vec<String>>>());
}

fn bench_order(bench: &str) -> usize {
    let order = [
        "loop alone",
        "unchecked",
        "checked",
        "checked, hot-added",
        "reader",
        "selected",
        "any",
        "dyn",
        "valid",
    ];
    order.iter().position(|known| *known == bench).unwrap_or(order.len())
}

pub(super) fn cold(report: &Report<'_>, text: &mut String) {
    let of_machine: Vec<&Measured> =
        report.results.results.iter().filter(|measured| measured.machine == COLD).collect();
    if of_machine.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Lookups with a cold table\n\nThe machine has {COLD}; 52 bits of physical address.\n"
    );
    subject_tables(report.results, &of_machine, COLD, text);
}
