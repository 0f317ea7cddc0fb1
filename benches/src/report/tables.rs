//! The tables of the report.

use std::fmt::Write;

use super::Report;
use crate::frames::Pattern;
use crate::lookups::{COLD, MODELS, ON_BASE_PAGES};
use crate::result::{Measured, Results};
use crate::slow::{bring_up, change, footprint, initialise, readers};

/// How to read it; fixed text about the method, without numbers of the run.
pub(super) const HOW: &str = "
## How it was measured

- Lookup times are those of loops over lists of frames, divided by the number of frames; the row `loop alone` shows what of it
  is the loop. Lookups of a list overlap in the processor, as they do in a kernel. Whatever a lookup finds goes through an
  empty piece of assembly, so that no compiler can leave a lookup out or do several at once. A loop takes whole cycles, and
  where it lies in memory can make it one cycle longer: differences of that size say nothing. Counted instructions do.
- All subjects on one machine and pattern take turns, in an order that changes from round to round; ratios are the middle of the
  ratios of all rounds. Before a sample there is a sweep that is not timed; for `random, touched` and the cold table the caches
  are filled with other memory instead, and a list is swept once. Times in tables are medians.
- C is compiled by `cc -O2`, over tables of its own with the same contents, and called for a whole list, as Rust is.
- Models live in plain memory on 2 MiB pages, as a kernel's direct map and virtual memmap do, where it does not say otherwise.
  Their allocator cuts blocks from one piece, which was touched before bring-up is timed.
- Baselines are written from the published shape of the systems in brackets; they are not the code of these systems.
- Counts of instructions are of generated code (`cargo xtask codegen`), all ways through a function together, and for operations
  of what was executed in valgrind.
";

/// Every table.
pub(super) fn all(report: &Report<'_>) -> String {
    let mut text = String::new();
    instructions(report, &mut text);
    for machine in report.machines {
        lookups(report, machine, &mut text);
    }
    cold(report, &mut text);
    bring_up_tables(report, &mut text);
    operations(report, &mut text);
    changes(report, &mut text);
    descriptors(report, &mut text);
    readers_table(report, &mut text);
    bytes(report, &mut text);
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

fn instructions(report: &Report<'_>, text: &mut String) {
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
fn lookups(report: &Report<'_>, machine: &str, text: &mut String) {
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

fn cold(report: &Report<'_>, text: &mut String) {
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

fn bring_up_tables(report: &Report<'_>, text: &mut String) {
    text.push_str("## Bring-up\n\n![time per section against memory](plots/bring-up.svg)\n\n");
    text.push_str("Per section, on machines that are full of memory:\n\n");
    by_model(report, bring_up::PER_SECTION, "memory", &bring_up::FULL.map(|(name, _)| name), text);
    text.push_str(
        "The whole boot of 2 GiB, half of it at the start and half at the end of the address space:\n\n",
    );
    by_model(report, bring_up::WITH_HOLE, "address space", &bring_up::HOLLOW.map(|(name, _)| name), text);
    text.push_str("A walk over all present sections of the same:\n\n");
    by_model(report, bring_up::WALK, "address space", &bring_up::HOLLOW.map(|(name, _)| name), text);
}

/// A table with a column per model.
fn by_model(report: &Report<'_>, bench: &str, what: &str, machines: &[&str], text: &mut String) {
    let rows = machines.iter().filter_map(|machine| {
        let times = MODELS.map(|model| report.results.time(bench, model, "", machine));
        times
            .iter()
            .any(Option::is_some)
            .then(|| std::iter::once((*machine).to_owned()).chain(times.map(time_cell)).collect::<Vec<_>>())
    });
    let head: Vec<String> = std::iter::once(what).chain(MODELS).map(str::to_owned).collect();
    table(text, &head, &rows.collect::<Vec<_>>());
}

fn operations(report: &Report<'_>, text: &mut String) {
    let Some(codegen) = report.codegen.filter(|codegen| !codegen.operations.is_empty()) else { return };
    text.push_str("## Instructions of operations\n\n");
    let mut names: Vec<&str> = Vec::new();
    for executed in &codegen.operations {
        let name = executed.operation.split(' ').next().unwrap_or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let count = |name: &str, model: &str| {
        let operation = format!("{name} {model}");
        let found = codegen.operations.iter().find(|executed| executed.operation == operation);
        found.map_or("-".to_owned(), |executed| executed.instructions.to_string())
    };
    let rows = names.iter().map(|name| {
        std::iter::once((*name).to_owned()).chain(MODELS.map(|model| count(name, model))).collect()
    });
    let head: Vec<String> = std::iter::once("operation").chain(MODELS).map(str::to_owned).collect();
    table(text, &head, &rows.collect::<Vec<Vec<String>>>());
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

fn changes(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, "add section") else { return };
    let _ = writeln!(
        text,
        "## Coming and going\n\nOn {machine}; memory that comes back is set to zero when it is given again.\n"
    );
    let benches = ["add section", "remove section", "add subsection", "remove subsection"];
    let rows = benches.iter().map(|bench| {
        let times = MODELS.map(|model| time_cell(report.results.time(bench, model, "", machine)));
        std::iter::once((*bench).to_owned()).chain(times).collect()
    });
    let head: Vec<String> = std::iter::once("operation").chain(MODELS).map(str::to_owned).collect();
    table(text, &head, &rows.collect::<Vec<Vec<String>>>());
    if let Some(time) = report.results.time(change::ZEROING, "the allocator", "", machine) {
        let _ = writeln!(
            text,
            "Setting the 2 MiB of a section's descriptors to zero takes {} of it.\n",
            ns(time)
        );
    }
}

fn descriptors(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, initialise::BENCH) else { return };
    let _ = writeln!(text, "## Initialising descriptors\n\nOn {machine}, 64 bytes each:\n");
    let rows = report.results.results.iter().filter(|measured| measured.bench == initialise::BENCH).map(
        |measured| {
            let time = measured.ns_median.unwrap_or(f64::INFINITY);
            vec![measured.subject.clone(), ns(time), format!("{:.2} GB/s", 64.0 / time)]
        },
    );
    table(text, &owned(["who", "per descriptor", "bandwidth"]), &rows.collect::<Vec<_>>());
}

fn readers_table(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, readers::WRITER) else { return };
    let _ = writeln!(
        text,
        "## Readers beside a writer\n\nOn {machine}; a reader takes a guard for 64 lookups.\n"
    );
    let rows = MODELS.map(|model| {
        let reader = |pattern| time_cell(report.results.time(readers::BENCH, model, pattern, machine));
        let writer = time_cell(report.results.time(readers::WRITER, model, "", machine));
        vec![model.to_owned(), reader(readers::ALONE), reader(readers::DISTURBED), writer]
    });
    let head =
        owned(["model", "lookup, alone", "lookup, beside a writer", "add and remove, beside a reader"]);
    table(text, &head, &rows);
}

fn bytes(report: &Report<'_>, text: &mut String) {
    text.push_str("## Bytes of metadata\n\n![bytes by model and machine](plots/bytes.svg)\n\n");
    let counted = |measured: &&Measured| measured.bench == footprint::TOTAL;
    let mut machines: Vec<&str> = Vec::new();
    for measured in report.results.results.iter().filter(counted) {
        if !machines.contains(&measured.machine.as_str()) {
            machines.push(&measured.machine);
        }
    }
    let cell = |bench: &str, subject: &str, machine: &str| {
        let found = report.results.find(bench, subject, "", machine).and_then(|measured| measured.bytes);
        found.map_or("-".to_owned(), size)
    };
    let rows = machines.iter().map(|machine| {
        let table_and_tree = MODELS.map(|model| cell(footprint::PARTS[0].0, model, machine));
        let totals = MODELS.map(|model| cell(footprint::TOTAL, model, machine));
        let flat = cell(footprint::TOTAL, footprint::FLAT, machine);
        std::iter::once((*machine).to_owned()).chain(table_and_tree).chain(totals).chain([flat]).collect()
    });
    let head = ["machine".to_owned()]
        .into_iter()
        .chain(MODELS.map(|model| format!("section table, {model}")))
        .chain(MODELS.map(|model| format!("all, {model}")))
        .chain(["all, flat array".to_owned()]);
    table(text, &head.collect::<Vec<_>>(), &rows.collect::<Vec<Vec<String>>>());
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
