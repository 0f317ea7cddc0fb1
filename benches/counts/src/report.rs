//! What people and programs read of it.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment};
use serde_json::json;

use super::blessed::Comparison;
use super::operations::OperationRow;
use super::verdict::{Judged, Row};
use sparsemem_terminal::{Colour, Screen};

/// The table, what is wrong, and what to do about it.
pub(super) fn render(judged: &Judged, screen: &Screen) -> String {
    let mut text = format!("{}\n{}\n\n{}\n", judged.rustc, judged.cc, table(judged, screen));
    for file in &judged.files {
        text.push_str(&told(file, screen));
    }
    if let Some(operations) = &judged.operations {
        let _ = write!(text, "\n{}\n\n", operation_table(operations, screen));
    }
    for fault in &judged.selected_faults {
        let _ = writeln!(text, "{} {fault}", screen.paint("FAILED", Colour::Red));
    }
    text.push_str(&ending(judged, screen));
    text
}

fn table(judged: &Judged, screen: &Screen) -> comfy_table::Table {
    let mut table = screen.table(&["probe", "instructions", "C", "loads", "C", "verdict"]);
    for row in &judged.rows {
        let number = |count: usize| Cell::new(count).set_alignment(CellAlignment::Right);
        let (rust, c) = (row.rust, row.c);
        let counts = [rust.instructions, c.instructions, rust.loads, c.loads].map(number);
        table.add_row(std::iter::once(Cell::new(row.budget.probe)).chain(counts).chain([verdict(row)]));
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
        Comparison::OtherCompiler { file, blessed, now } => format!(
            "benches/codegen/{file}: not compared, because it is of {blessed} and this is {now}; the budgets hold for both\n"
        ),
        Comparison::Different { file, lines } => {
            let failed = screen.paint("FAILED", Colour::Red);
            format!(
                "{failed} benches/codegen/{file}: the code is not the blessed code\n{}\n",
                lines.join("\n")
            )
        }
    }
}

/// What to do next.
fn ending(judged: &Judged, screen: &Screen) -> String {
    if judged.passed() {
        let counted =
            if judged.operations.is_some() { ", and every operation is as it was blessed" } else { "" };
        return format!(
            "{}: every lookup is within its budget{counted}\n",
            screen.paint("passed", Colour::Green)
        );
    }
    "\nA lookup that needs more than its budget is slower for everybody: find out why first. Listings and operations may \
     change\nas long as the budgets (benches/counts/src/budgets.rs) hold, for a reason that the commit says; \
     `cargo xtask codegen --bless`\nthen writes them anew.\n"
        .to_owned()
}

/// The same for programs.
pub(super) fn json(judged: &Judged) -> serde_json::Value {
    let lookups = judged.rows.iter().map(|row| {
        json!({
            "probe": row.budget.probe,
            "instructions": row.rust.instructions,
            "loads": row.rust.loads,
            "c_instructions": row.c.instructions,
            "c_loads": row.c.loads,
            "budget_instructions": row.budget.instructions,
            "budget_loads": row.budget.loads,
            "faults": row.faults,
        })
    });
    let operations = judged.operations.iter().flatten().map(
        |row| json!({ "operation": row.operation, "instructions": row.instructions, "blessed": row.blessed }),
    );
    json!({
        "rustc": judged.rustc,
        "cc": judged.cc,
        "passed": judged.passed(),
        "lookups": lookups.collect::<Vec<_>>(),
        "operations": operations.collect::<Vec<_>>(),
    })
}
