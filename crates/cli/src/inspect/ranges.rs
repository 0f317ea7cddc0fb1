//! The table of physical ranges.

use std::fmt::Write;

use crate::inspection::{InspectedRange, Inspection};
use comfy_table::{Cell, CellAlignment};

use sparsemem_terminal::{Colour, Screen, units::bytes};

/// The number of ranges that are shown; further ones are only counted.
const SHOWN: usize = 60;

/// The table.
pub(super) fn text(inspection: &Inspection, screen: &Screen) -> String {
    let mut table = screen.table(&["start", "end", "size", "node", "kind"]);
    for range in inspection.ranges.iter().take(SHOWN) {
        table.add_row(row(range));
    }
    let mut text = format!("Ranges; the end is the first address past the range:\n\n{table}\n");
    if let Some(more) = inspection.ranges.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  .. and {more} more (`--format json` has all of them)");
    }
    text
}

fn row(range: &InspectedRange) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    vec![
        right(format!("{:#x}", range.start)),
        right(format!("{:#x}", range.end)),
        right(bytes(range.end.saturating_sub(range.start))),
        right(range.node.map_or_else(|| "-".to_owned(), |node| node.to_string())),
        kind(range.kind),
    ]
}

fn kind(name: &str) -> Cell {
    match name {
        "ram" => Colour::Green.cell(name),
        "persistent" => Colour::Yellow.cell(name),
        "soft-reserved" => Colour::Magenta.cell(name),
        "unusable" => Colour::Red.cell(name),
        _ => Colour::Grey.cell(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range};
    use super::text;
    use sparsemem_terminal::Screen;

    #[test]
    fn a_row_per_range() {
        let ranges = vec![range(0, 0x9f000, "ram", Some(1)), range(0xf_0000, 0x10_0000, "reserved", None)];
        let text = text(&machine(ranges, vec![]), &Screen::plain(80));
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["0x0", "0x9f000", "636", "KiB", "1", "ram"]), "{text}");
        assert!(rows.contains(&vec!["0xf0000", "0x100000", "64", "KiB", "-", "reserved"]), "{text}");
    }

    #[test]
    fn long_lists_are_cut() {
        let many = (0..70).map(|nr| range(nr * 8192, nr * 8192 + 4096, "ram", None)).collect();
        assert!(text(&machine(many, vec![]), &Screen::plain(80)).contains(".. and 10 more"));
    }
}
