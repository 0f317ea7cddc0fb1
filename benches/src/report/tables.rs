//! The tables of the report, each with a fixed text above it.

use std::fmt::Write;

use super::Report;
use crate::backends::{MODELS, ON_BASE_PAGES, PROBES};
use crate::frames::Pattern;
use crate::lookups::{COLD, LARGE};
use crate::result::Measured;
use crate::slow::{boot, changes, initialise};

/// The questions, in the order of rows; others come after them.
const QUESTIONS: [&str; 9] =
    ["loop alone", "unchecked", "checked", "checked, hot-added", "reader", "selected", "any", "dyn", "valid"];

/// Every table.
pub(super) fn all(report: &Report<'_>) -> String {
    let mut text = String::new();
    instructions(report, &mut text);
    for machine in report.machines {
        let head =
            format!("Lookups on {machine}\n\n![time by model and pattern](plots/lookup-{machine}.svg)");
        lookups(report, machine, &head, &mut text);
    }
    lookups(report, LARGE, &format!("Lookups of {LARGE} that came later"), &mut text);
    let cold = format!("Lookups with a cold table\n\nThe machine has {COLD}; 52 bits of physical address.");
    lookups(report, COLD, &cold, &mut text);
    boots(report, &mut text);
    operations(report, &mut text);
    adding_and_removing(report, &mut text);
    descriptors(report, &mut text);
    readers(report, &mut text);
    bytes(report, &mut text);
    text
}

/// The table that the project's README quotes.
pub(super) fn for_readme(report: &Report<'_>) -> String {
    let mut text = String::new();
    let Some(machine) = report.machines.first() else { return text };
    let counted = |probe: &str| {
        let found = report.codegen?.lookups.iter().find(|counted| counted.probe == probe)?;
        Some(format!("{} / {}", found.instructions, found.loads))
    };
    let rows = MODELS.into_iter().zip(PROBES).map(|(model, probe)| {
        let time = |question, pattern: Pattern| time_cell(report, question, model, pattern.name(), machine);
        let count = |lookup: &str| counted(&format!("{probe}_{lookup}")).unwrap_or("-".to_owned());
        let unchecked = [count("unchecked"), time("unchecked", Pattern::Random)];
        let checked = [count("checked"), time("checked", Pattern::Random)];
        row(model, unchecked.into_iter().chain(checked).chain([time("unchecked", Pattern::RandomTouch)]))
    });
    let head = [
        "model",
        "unchecked: instructions / loads",
        "unchecked",
        "checked: instructions / loads",
        "checked",
        "unchecked, and the descriptor is read",
    ];
    table(&mut text, head, rows);
    let _ = writeln!(
        text,
        "Random frames of {machine}. `{ON_BASE_PAGES}` and everything else: `benches/REPORT.md`."
    );
    text
}

fn instructions(report: &Report<'_>, text: &mut String) {
    let Some(codegen) = report.codegen else { return };
    text.push_str("## Instructions of a lookup\n\n");
    let rows = codegen.lookups.iter().map(|counted| {
        let counts = [counted.instructions, counted.c_instructions, counted.loads, counted.c_loads];
        row(&format!("`{}`", counted.probe), counts.map(|count| count.to_string()))
    });
    table(text, ["lookup", "instructions", "in C", "loads", "in C"], rows);
}

/// All patterns of a machine as columns, all subjects as rows.
fn lookups(report: &Report<'_>, machine: &str, head: &str, text: &mut String) {
    let is_lookup = |measured: &&Measured| {
        measured.machine == machine && Pattern::ALL.iter().any(|pattern| pattern.name() == measured.pattern)
    };
    let measured = || report.results.results.iter().filter(is_lookup);
    let mut subjects = once_each(measured().map(|measured| (&*measured.question, &*measured.subject)));
    if subjects.is_empty() {
        return;
    }
    let order = |question| QUESTIONS.iter().position(|known| *known == question);
    subjects.sort_by_key(|(question, _)| order(*question).unwrap_or(QUESTIONS.len()));
    let patterns = Pattern::ALL.iter().map(|pattern| pattern.name());
    let is_there = |pattern: &&str| measured().any(|measured| measured.pattern == *pattern);
    let patterns: Vec<&str> = patterns.filter(is_there).collect();
    let rows = subjects.iter().map(|(question, subject)| {
        let times = patterns.iter().map(|pattern| time_cell(report, question, subject, pattern, machine));
        row(question, std::iter::once((*subject).to_owned()).chain(times))
    });
    let _ = writeln!(text, "## {head}\n");
    table(text, ["question", "who answers"].into_iter().chain(patterns.iter().copied()), rows);
}

fn boots(report: &Report<'_>, text: &mut String) {
    let mut of = |about: &str, question: &str, what: &str, machines: &[(&str, u64)]| {
        let rows = machines.iter().filter(|(machine, _)| {
            MODELS.iter().any(|model| report.results.time(question, model, "", machine).is_some())
        });
        let rows = rows.map(|(machine, _)| {
            row(machine, MODELS.map(|model| time_cell(report, question, model, "", machine)))
        });
        text.push_str(about);
        by_model(text, what, rows);
    };
    of(
        "## Boot\n\n![time per section against memory](plots/boot.svg)\n\n\
         Per section, on machines that are full of memory:\n\n",
        boot::PER_SECTION,
        "memory",
        &boot::FULL,
    );
    of(
        "A boot that only marks the sections of those, and leaves their memmaps for later (`boot_deferred`), as a whole:\n\n",
        boot::MARKING,
        "memory",
        &boot::FULL,
    );
    of(
        "The whole boot of 2 GiB, half of it at the start and half at the end of the address space:\n\n",
        boot::WITH_HOLE,
        "address space",
        &boot::HOLLOW,
    );
    of("A walk over all present sections of the same:\n\n", boot::WALK, "address space", &boot::HOLLOW);
}

fn operations(report: &Report<'_>, text: &mut String) {
    let Some(codegen) = report.codegen.filter(|codegen| !codegen.operations.is_empty()) else { return };
    text.push_str(
        "## Instructions of operations\n\nA repeated string instruction counts once for each byte that it sets to zero: the 4096 of a \
         new root or page table, and, on the table models, the 32768 of the descriptors of a section's second subsection, which \
         an earlier user may have written to. The allocator gives a section's own memmap as zeros.\n\n",
    );
    let operation = |name: &str| name.split(' ').next().unwrap_or_default().to_owned();
    let names = once_each(codegen.operations.iter().map(|executed| operation(&executed.operation)));
    let count = |name: &str, model: &str| {
        let operation = format!("{name} {model}");
        let found = codegen.operations.iter().find(|executed| executed.operation == operation);
        found.map_or("-".to_owned(), |executed| executed.instructions.to_string())
    };
    by_model(text, "operation", names.iter().map(|name| row(name, MODELS.map(|model| count(name, model)))));
}

fn adding_and_removing(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, changes::ZEROING) else { return };
    let _ = writeln!(
        text,
        "## Adding and removing\n\nOn {machine}; the allocator sets memory that it got back to zero when it gives it again. The last \
         row is the time that it needs for the 2 MiB of a section's descriptors, which is part of `add section` on every model.\n"
    );
    let operations = changes::CHANGES.iter().flat_map(|(adding, removing, _)| [*adding, *removing]);
    let rows = operations.map(|operation| {
        row(operation, MODELS.map(|model| time_cell(report, operation, model, "", machine)))
    });
    let zeroing = time_cell(report, changes::ZEROING, changes::ALLOCATOR, "", machine);
    let zeroing = row(changes::ZEROING, MODELS.map(|_| zeroing.clone()));
    by_model(text, "operation", rows.chain([zeroing]));
}

fn descriptors(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, initialise::QUESTION) else { return };
    let _ = writeln!(text, "## Initialising descriptors\n\nOn {machine}, 64 bytes each:\n");
    let of_descriptors = |measured: &&Measured| measured.question == initialise::QUESTION;
    let rows = report.results.results.iter().filter(of_descriptors).map(|measured| {
        let time = measured.ns_median.unwrap_or(f64::INFINITY);
        row(&measured.subject, [ns(time), format!("{:.2} GB/s", 64.0 / time)])
    });
    table(text, ["who", "per descriptor", "bandwidth"], rows);
}

fn readers(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, changes::WRITER) else { return };
    let _ = writeln!(
        text,
        "## Readers beside a writer\n\nOn {machine}; a reader takes a guard for 64 lookups.\n"
    );
    let rows = MODELS.map(|model| {
        let reader = |pattern| time_cell(report, changes::READER, model, pattern, machine);
        let writer = time_cell(report, changes::WRITER, model, "", machine);
        row(model, [reader(changes::ALONE), reader(changes::DISTURBED), writer])
    });
    let head = ["model", "lookup, alone", "lookup, beside a writer", "add and remove, beside a reader"];
    table(text, head, rows);
}

fn bytes(report: &Report<'_>, text: &mut String) {
    text.push_str("## Bytes of metadata\n\n![bytes by model and machine](plots/bytes.svg)\n\n");
    let cell = |question: &str, subject: &str, machine: &str| {
        let found = report.results.find(question, subject, "", machine).and_then(|measured| measured.bytes);
        found.map_or("-".to_owned(), size)
    };
    let rows = machines_with_bytes(report).into_iter().map(|machine| {
        let tables = MODELS.map(|model| cell(boot::PARTS[0].0, model, machine));
        let totals = MODELS.map(|model| cell(boot::TOTAL, model, machine));
        row(machine, tables.into_iter().chain(totals).chain([cell(boot::TOTAL, boot::FLAT, machine)]))
    });
    let tables = MODELS.map(|model| format!("section table, {model}"));
    let totals = MODELS.map(|model| format!("all, {model}"));
    let models = tables.iter().chain(&totals).map(String::as_str);
    table(text, std::iter::once("machine").chain(models).chain(["all, flat array"]), rows);
}

/// The machines whose bytes of metadata were counted.
pub(super) fn machines_with_bytes<'r>(report: &Report<'r>) -> Vec<&'r str> {
    let counted = report.results.results.iter().filter(|measured| measured.question == boot::TOTAL);
    once_each(counted.map(|measured| measured.machine.as_str()))
}

/// The machine that a question was first asked on.
fn machine_of<'r>(report: &Report<'r>, question: &str) -> Option<&'r str> {
    let found = report.results.results.iter().find(|measured| measured.question == question)?;
    Some(&found.machine)
}

/// The values in the order of their first occurrence.
fn once_each<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    values.for_each(|value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
    });
    seen
}

/// A table with a column per model.
fn by_model(text: &mut String, what: &str, rows: impl IntoIterator<Item = String>) {
    table(text, std::iter::once(what).chain(MODELS), rows);
}

/// A table in Markdown.
fn table<'h>(
    text: &mut String,
    head: impl IntoIterator<Item = &'h str>,
    rows: impl IntoIterator<Item = String>,
) {
    let head: Vec<&str> = head.into_iter().collect();
    let ruler = format!("| ---{} |\n", " | ---:".repeat(head.len() - 1));
    text.push_str(&format!("| {} |\n{ruler}", head.join(" | ")));
    text.extend(rows);
    text.push('\n');
}

/// A line of a table.
fn row(first: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells: String = cells.into_iter().map(|cell| format!(" | {cell}")).collect();
    format!("| {first}{cells} |\n")
}

fn time_cell(report: &Report<'_>, question: &str, subject: &str, pattern: &str, machine: &str) -> String {
    report.results.time(question, subject, pattern, machine).map_or("-".to_owned(), ns)
}

/// A time with a fitting number of digits. Units: nanoseconds.
fn ns(time: f64) -> String {
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
fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| bytes >> bits > 0) {
        Some((unit, bits)) => format!("{:.2} {unit}", bytes as f64 / (1_u64 << bits) as f64),
        None => format!("{bytes} B"),
    }
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
