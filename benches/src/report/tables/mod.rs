//! The tables of the report.

mod lookups;
mod slow;

use std::fmt::Write;

use super::Report;
use crate::frames::Pattern;
use crate::lookups::{MODELS, ON_BASE_PAGES};

/// Every table.
pub(super) fn all(report: &Report<'_>) -> String {
    let mut text = String::new();
    lookups::instructions(report, &mut text);
    for machine in report.machines {
        lookups::lookups(report, machine, &mut text);
    }
    lookups::cold(report, &mut text);
    slow::bring_up_tables(report, &mut text);
    slow::operations(report, &mut text);
    slow::changes(report, &mut text);
    slow::descriptors(report, &mut text);
    slow::readers_table(report, &mut text);
    slow::bytes(report, &mut text);
    text
}

/// A table in Markdown.
fn table(text: &mut String, head: &[String], rows: &[Vec<String>]) {
    // A text has room for any line.
    let line = |text: &mut String, cells: &[String]| writeln!(text, "| {} |", cells.join(" | "));
    let _ = line(text, head);
    let ruler: Vec<String> =
        (0..head.len()).map(|at| if at == 0 { "---" } else { "---:" }.to_owned()).collect();
    let _ = line(text, &ruler);
    for row in rows {
        let _ = line(text, row);
    }
    text.push('\n');
}

fn owned<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A time with a fitting number of digits. Units: nanoseconds.
pub(super) fn ns(time: f64) -> String {
    match time {
        _ if time >= 1e9 => format!("{:.2} s", time / 1e9),
        _ if time >= 1e6 => format!("{:.2} ms", time / 1e6),
        _ if time >= 1e4 => format!("{:.1} µs", time / 1e3),
        _ if time >= 100.0 => format!("{time:.0} ns"),
        _ if time >= 10.0 => format!("{time:.1} ns"),
        _ => format!("{time:.2} ns"),
    }
}

/// A number of bytes in the largest unit that it fills.
pub(super) fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| bytes >> bits > 0) {
        Some((unit, bits)) => format!("{:.2} {unit}", bytes as f64 / (1_u64 << bits) as f64),
        None => format!("{bytes} B"),
    }
}

fn time_cell(found: Option<f64>) -> String {
    found.map_or("-".to_owned(), ns)
}

/// The machine that changes, initialising and readers were measured on: the first of their results.
pub(super) fn machine_of<'r>(report: &Report<'r>, bench: &str) -> Option<&'r str> {
    report
        .results
        .results
        .iter()
        .find(|measured| measured.bench == bench)
        .map(|measured| measured.machine.as_str())
}

/// The table that the project's README quotes.
pub(super) fn for_readme(report: &Report<'_>) -> String {
    let mut text = String::new();
    let Some(machine) = report.machines.first() else { return text };
    let counted = |probe: &str| {
        let found = report.codegen?.lookups.iter().find(|counted| counted.probe == probe)?;
        Some(format!("{} / {}", found.instructions, found.loads))
    };
    let short = ["classic", "extreme", "vmemmap"];
    let rows = MODELS.into_iter().zip(short).map(|(model, probe)| {
        let time = |bench, pattern| time_cell(report.results.time(bench, model, pattern, machine));
        let count = |lookup: &str| counted(&format!("{probe}_{lookup}")).unwrap_or("-".to_owned());
        vec![
            model.to_owned(),
            count("unchecked"),
            time("unchecked", "random"),
            count("checked"),
            time("checked", "random"),
            time("unchecked", Pattern::RandomTouch.name()),
        ]
    });
    let head = owned([
        "model",
        "unchecked: instructions / loads",
        "unchecked",
        "checked: instructions / loads",
        "checked",
        "unchecked, and the descriptor is read",
    ]);
    table(&mut text, &head, &rows.collect::<Vec<_>>());
    let _ = writeln!(
        text,
        "Random frames of {machine}. `{ON_BASE_PAGES}` and everything else: `benches/REPORT.md`."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{ns, size};

    #[test]
    fn numbers_have_digits_that_mean_something() {
        assert_eq!([0.314, 12.34, 314.0, 31_400.0].map(ns), ["0.31 ns", "12.3 ns", "314 ns", "31.4 µs"]);
        assert_eq!([3.14e6, 3.14e9].map(ns), ["3.14 ms", "3.14 s"]);
        assert_eq!([12, 2048, 3 << 29].map(size), ["12 B", "2.00 KiB", "1.50 GiB"]);
    }
}
