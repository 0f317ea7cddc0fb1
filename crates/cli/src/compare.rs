//! `sparsemem compare ONE OTHER`: how two memory maps differ, and what the models cost on each.
//!
//! For a log from before and after a change: of firmware, of a kernel's version, or of plugged memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use comfy_table::{Cell, CellAlignment};
use serde::Serialize;
use sparsemem_any::Backend;
use sparsemem_machine_files::GeometryName;
use sparsemem_terminal::units::{bytes, counted};
use sparsemem_terminal::{Colour, Failure, Format, Screen, Status, remark, say, say_json};

use crate::inspection::{InspectedBackend, InspectedRange, Inspection};
use crate::look::inspect;
use crate::source::open;

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first map: a path, `-` for standard input, or the name of a machine that comes with sparsemem
    one: PathBuf,
    /// The map that it is compared with
    other: PathBuf,
    /// Boot both with this geometry instead of their own
    #[arg(long, value_name = "NAME")]
    geometry: Option<GeometryName>,
    /// Print text, or one JSON object
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The difference between two machines.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Comparison {
    /// Ranges of the first map that the other does not have.
    removed: Vec<InspectedRange>,
    /// Ranges of the other map that the first does not have.
    added: Vec<InspectedRange>,
    /// Sections that only the first has.
    sections_removed: u64,
    /// Sections that only the other has.
    sections_added: u64,
    /// Sections that both have, with other subsections.
    sections_changed: u64,
    /// The bytes that each backend takes, on the first and on the other.
    total_bytes: BTreeMap<&'static str, (u64, u64)>,
}

/// Prints the difference; maps that differ fail.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    if [&args.one, &args.other].iter().all(|path| path.as_os_str() == "-") {
        return Err(Failure::Usage(
            "standard input has one map only; name a file for the other one".to_owned(),
        ));
    }
    let look = |path| {
        let machine = open(path, args.geometry)?;
        remark(&machine.remarks());
        inspect(&machine, &Backend::ALL, None).map_err(|error| Failure::Broken(error.to_string()))
    };
    let (one, other) = (look(&args.one)?, look(&args.other)?);
    if one.section_bytes != other.section_bytes {
        let text = format!("{} and {} have sections of different sizes", one.geometry, other.geometry);
        return Err(Failure::Usage(format!("{text}; choose one geometry with --geometry")));
    }
    let comparison = compare(&one, &other);
    match args.format {
        Format::Text => {
            let screen = Screen::of_stdout();
            say(&render(&comparison, [&one.machine, &other.machine], &screen))?;
        }
        Format::Json => say_json(&comparison)?,
    }
    let is_same = comparison.removed.is_empty() && comparison.added.is_empty();
    Ok(if is_same { Status::Passed } else { Status::Failed })
}

fn compare(one: &Inspection, other: &Inspection) -> Comparison {
    let only = |has: &Inspection, lacks: &Inspection| {
        has.ranges.iter().filter(|range| !lacks.ranges.contains(range)).cloned().collect()
    };
    let (first, second) = (subsections(one), subsections(other));
    let absent = |nr: &&u64, from: &BTreeMap<u64, &str>| !from.contains_key(*nr);
    let changed = first.iter().filter(|(nr, bits)| second.get(nr).is_some_and(|now| now != *bits));
    let names: BTreeSet<_> = one.backends.keys().chain(other.backends.keys()).copied().collect();
    let total = |inspection: &Inspection, name| {
        inspection.backends.get(name).map_or(0, InspectedBackend::total_bytes)
    };
    Comparison {
        removed: only(one, other),
        added: only(other, one),
        sections_removed: first.keys().filter(|nr| absent(nr, &second)).count() as u64,
        sections_added: second.keys().filter(|nr| absent(nr, &first)).count() as u64,
        sections_changed: changed.count() as u64,
        total_bytes: names.into_iter().map(|name| (name, (total(one, name), total(other, name)))).collect(),
    }
}

/// The populated subsections of each section; they are the same on every backend.
fn subsections(inspection: &Inspection) -> BTreeMap<u64, &str> {
    let sections = inspection.backends.values().next().map_or(&[][..], |backend| &backend.sections);
    sections.iter().map(|section| (section.nr, section.subsections.as_str())).collect()
}

fn render(comparison: &Comparison, names: [&str; 2], screen: &Screen) -> String {
    let [one, other] = names;
    let mut text = format!("- {one}\n+ {other}\n\n");
    let mut ranges: Vec<_> = comparison.removed.iter().map(|range| (range, '-', Colour::Red)).collect();
    ranges.extend(comparison.added.iter().map(|range| (range, '+', Colour::Green)));
    ranges.sort_by_key(|(range, sign, _)| (range.start, *sign == '+'));
    for (range, sign, colour) in ranges {
        let InspectedRange { start, end, node, kind } = range;
        let of_node = node.map_or_else(String::new, |node| format!(" of node {node}"));
        let line = format!("{sign} {start:#x} to {end:#x}: {} of {kind}{of_node}", bytes(end - start));
        let _ = writeln!(text, "{}", screen.paint(&line, colour));
    }
    if comparison.removed.is_empty() && comparison.added.is_empty() {
        text.push_str("The maps are the same.\n");
    }
    let Comparison { sections_removed, sections_added, sections_changed, .. } = comparison;
    let count = |count: &u64| counted(usize::try_from(*count).unwrap_or(usize::MAX), "section");
    let _ = writeln!(
        text,
        "\n{} less, {} more, {} with other subsections.\n\nMemory that each backend takes:\n",
        count(sections_removed),
        count(sections_added),
        count(sections_changed)
    );
    let mut table = screen.table(&["backend", "-", "+"]);
    for (name, (before, now)) in &comparison.total_bytes {
        let amount = |count| Cell::new(bytes(count)).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(name), amount(*before), amount(*now)]);
    }
    let _ = writeln!(text, "{table}");
    text
}

#[cfg(test)]
mod tests {
    use super::{compare, render};
    use crate::inspect::sample::{machine, range, section};
    use sparsemem_terminal::Screen;

    const SECTION: u64 = 128 << 20;

    #[test]
    fn plugged_memory_is_a_range_more_and_its_sections() {
        let before = machine(vec![range(0, SECTION, "ram", Some(0))], vec![section(0, !0), section(1, 0b1)]);
        let plugged = range(8 * SECTION, 9 * SECTION, "ram", Some(1));
        let now = machine(
            vec![range(0, SECTION, "ram", Some(0)), plugged.clone()],
            vec![section(0, !0), section(1, 0b11), section(8, !0)],
        );
        let comparison = compare(&before, &now);
        assert_eq!((&comparison.removed, &comparison.added), (&vec![], &vec![plugged]));
        assert_eq!(
            (comparison.sections_removed, comparison.sections_added, comparison.sections_changed),
            (0, 1, 1)
        );
        let text = render(&comparison, ["before.log", "now.log"], &Screen::plain(80));
        assert!(text.contains("+ 0x40000000 to 0x48000000: 128 MiB of ram of node 1\n"), "{text}");
        assert!(text.contains("0 sections less, 1 section more, 1 section with other"), "{text}");
    }

    #[test]
    fn the_same_map_has_no_difference() {
        let one = machine(vec![range(0, SECTION, "ram", None)], vec![section(0, !0)]);
        let text = render(&compare(&one, &one.clone()), ["a", "b"], &Screen::plain(80));
        assert!(text.contains("The maps are the same.") && !text.contains("\n- 0x"), "{text}");
    }
}
