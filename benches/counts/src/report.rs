//! The report of the counts: text for people, JSON for programs.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment};
use serde_json::json;

use super::blessed::Comparison;
use super::operations::OperationRow;
use super::verdict::{Judged, Processor, Row};
use sparsemem_terminal::{Colour, Screen};

/// The table, what is wrong, and what to do about it.
pub(super) fn render(judged: &Judged, screen: &Screen) -> String {
    let mut text: String = judged.processors.iter().map(|processor| lookups(processor, screen)).collect();
    if let Some(operations) = &judged.operations {
        let _ = write!(text, "{}\n\n", operation_table(operations, screen));
    }
    text.push_str(&ending(judged, screen));
    text
}

/// The lookups of a processor.
fn lookups(processor: &Processor, screen: &Screen) -> String {
    let compilers = [&processor.rustc, &processor.cc].map(|name| screen.wrap(name, "")).concat();
    let mut text = format!("{}\n{compilers}\n{}\n", processor.arch, table(processor, screen));
    for file in &processor.files {
        text.push_str(&told(file, screen));
    }
    for fault in &processor.selected_faults {
        let _ = write!(text, "{}\n{}", screen.paint("FAILED", Colour::Red), screen.wrap(fault, "    "));
    }
    text.push('\n');
    text
}

fn table(processor: &Processor, screen: &Screen) -> comfy_table::Table {
    let mut table = screen.table(&["probe", "instructions", "C", "loads", "C", "verdict"]);
    for row in &processor.rows {
        let number = |count: usize| Cell::new(count).set_alignment(CellAlignment::Right);
        let (rust, c) = (row.rust, row.c);
        let counts = [rust.instructions, c.instructions, rust.loads, c.loads].map(number);
        table.add_row(std::iter::once(Cell::new(row.probe)).chain(counts).chain([verdict(row)]));
    }
    table
}

fn verdict(row: &Row) -> Cell {
    match row.faults.is_empty() {
        true => Colour::Green.cell("within budget"),
        false => Colour::Red.cell(&row.faults.join("; ")),
    }
}

fn operation_table(operations: &[OperationRow], screen: &Screen) -> comfy_table::Table {
    let mut table = screen.table(&["operation", "instructions", "blessed", "change"]);
    for row in operations {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let change = row.change().map_or("-".to_owned(), |change| format!("{change:+.2} %"));
        let change = if row.is_wrong() { Colour::Red.cell(&change) } else { Cell::new(change) };
        let blessed = row.blessed.map_or("-".to_owned(), |count| count.to_string());
        let cells = [right(row.instructions.to_string()), right(blessed)];
        table.add_row(std::iter::once(Cell::new(&row.operation)).chain(cells).chain([change]));
    }
    table
}

/// A file in words.
fn told(file: &Comparison, screen: &Screen) -> String {
    match file {
        Comparison::Same { file } => format!("benches/codegen/{file}: the code is the blessed code\n"),
        Comparison::OtherCompiler { file, blessed, now } => {
            let why = format!("it is of {blessed} and this is {now}; the budgets hold for both");
            screen.wrap(&format!("benches/codegen/{file}: not compared, because {why}"), "")
        }
        Comparison::Different { file, lines } => {
            let failed = screen.paint("FAILED", Colour::Red);
            format!(
                "{failed} benches/codegen/{file}: the code is not the blessed code\n{}\n",
                lines.join("\n")
            )
        }
    }
}

/// The last lines: the result, or the next step after a failure.
fn ending(judged: &Judged, screen: &Screen) -> String {
    if judged.passed() {
        let counted = if judged.operations.is_some() { ", every operation as it was blessed" } else { "" };
        return format!(
            "{}: every lookup is within its budget{counted}\n",
            screen.paint("passed", Colour::Green)
        );
    }
    let advice = "A lookup that needs more than its budget is slower for everybody: find out why first. Listings and \
                  operations may change as long as the budgets (benches/counts/src/budgets.rs) hold, for a reason that \
                  the commit says; `cargo xtask codegen --bless` then writes them anew.";
    format!("\n{}", screen.wrap(advice, ""))
}

/// The same for programs.
pub(super) fn json(judged: &Judged) -> serde_json::Value {
    let processors = judged.processors.iter();
    let compilers = processors.clone().map(|it| json!({ "arch": it.arch, "rustc": it.rustc, "cc": it.cc }));
    let rows = processors.flat_map(|processor| processor.rows.iter().map(|row| (processor.arch, row)));
    let lookups = rows.map(|(arch, row)| {
        json!({
            "arch": arch,
            "probe": row.probe,
            "instructions": row.rust.instructions,
            "loads": row.rust.loads,
            "c_instructions": row.c.instructions,
            "c_loads": row.c.loads,
            "budget_instructions": row.limits.instructions,
            "budget_loads": row.limits.loads,
            "faults": row.faults,
        })
    });
    let operations = judged.operations.iter().flatten().map(
        |row| json!({ "operation": row.operation, "instructions": row.instructions, "blessed": row.blessed }),
    );
    json!({
        "compilers": compilers.collect::<Vec<_>>(),
        "passed": judged.passed(),
        "lookups": lookups.collect::<Vec<_>>(),
        "operations": operations.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::blessed::Comparison;
    use super::super::budgets::{BUDGETS, Budget};
    use super::super::operations::OperationRow;
    use super::super::verdict::{Counts, Judged, Processor, Row};
    use super::render;
    use sparsemem_report::Arch;
    use sparsemem_terminal::Screen;

    const COMPILER: &str = "rustc 1.95.0 (59807616e 2026-04-14)";

    fn judged(faults: &[&str]) -> Judged {
        let counts = Counts { instructions: 1000, loads: 100, calls: 0 };
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let row = |budget: &'static Budget| Row {
            probe: budget.probe,
            limits: budget.on(Arch::X86_64).expect("every probe is counted on x86_64"),
            rust: counts,
            c: counts,
            faults: faults.clone(),
        };
        let (blessed, now) = (COMPILER.to_owned(), COMPILER.to_owned());
        let operation = "remove-subsection a-models-name".to_owned();
        let processor = Processor {
            arch: Arch::X86_64,
            rustc: COMPILER.to_owned(),
            cc: "cc (Debian 12.2.0-14+deb12u1) 12.2.0 ".repeat(3),
            rows: BUDGETS.iter().map(row).collect(),
            selected_faults: faults,
            files: vec![Comparison::OtherCompiler { file: "rust-aarch64.txt".to_owned(), blessed, now }],
        };
        let operation = OperationRow { operation, instructions: 1 << 40, blessed: Some(1 << 40) };
        Judged { processors: vec![processor], operations: Some(vec![operation]) }
    }

    #[test]
    fn the_report_fits_80_columns_in_a_line_per_probe() {
        let fault = "1000 instructions beside those of C, allowed are 32";
        for (faults, lines) in [(&[][..], BUDGETS.len()), (&[fault, fault], 0)] {
            let text = render(&judged(faults), &Screen::plain(80));
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert_eq!(text.lines().filter(|line| line.contains("within budget")).count(), lines, "{text}");
        }
    }
}
