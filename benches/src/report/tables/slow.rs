//! The tables of everything that changes a model, and of what it takes.

use std::fmt::Write;

use super::{machine_of, ns, owned, size, table, time_cell};
use crate::lookups::MODELS;
use crate::report::Report;
use crate::result::Measured;
use crate::slow::{bring_up, change, footprint, initialise, readers};

pub(super) fn bring_up_tables(report: &Report<'_>, text: &mut String) {
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

pub(super) fn operations(report: &Report<'_>, text: &mut String) {
    let Some(codegen) = report.codegen.filter(|codegen| !codegen.operations.is_empty()) else { return };
    text.push_str(
        "## Instructions of operations\n\nA repeated string instruction counts once for each byte that it sets to zero: the 4096 of a \
         new root or page table, and the 32768 of the descriptors of a section's second subsection on the table models, where \
         an earlier life of them may lie. A section's own memmap comes zeroed from its allocator.\n\n",
    );
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

pub(super) fn changes(report: &Report<'_>, text: &mut String) {
    let Some(machine) = machine_of(report, "add section") else { return };
    let _ = writeln!(
        text,
        "## Coming and going\n\nOn {machine}; memory that comes back is set to zero when it is given again. The last row is what the \
         allocator needs to set the 2 MiB of a section's descriptors to zero, which is part of `add section` on every model.\n"
    );
    let benches = ["add section", "remove section", "add subsection", "remove subsection"];
    let rows = benches.iter().map(|bench| {
        let times = MODELS.map(|model| time_cell(report.results.time(bench, model, "", machine)));
        std::iter::once((*bench).to_owned()).chain(times).collect()
    });
    let zeroing = time_cell(report.results.time(change::ZEROING, "the allocator", "", machine));
    let zeroing = std::iter::once(change::ZEROING.to_owned()).chain(MODELS.map(|_| zeroing.clone()));
    let rows = rows.chain([zeroing.collect()]);
    let head: Vec<String> = std::iter::once("operation").chain(MODELS).map(str::to_owned).collect();
    table(text, &head, &rows.collect::<Vec<Vec<String>>>());
}

pub(super) fn descriptors(report: &Report<'_>, text: &mut String) {
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

pub(super) fn readers_table(report: &Report<'_>, text: &mut String) {
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

pub(super) fn bytes(report: &Report<'_>, text: &mut String) {
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
