//! Draws the sections that have a hole, with their subsections.

use std::fmt::Write;

use crate::inspection::{InspectedSection, Inspection};

use super::extents::{Owner, bits, is_full, owner, sections, subsections};
use sparsemem_terminal::{Screen, units};

/// The number of sections that are drawn; further ones are only counted.
const SHOWN: usize = 16;
/// The largest number of characters in a row.
const MOST_COLUMNS: usize = 64;

/// The partial sections.
pub(super) fn partial(inspection: &Inspection) -> Vec<&InspectedSection> {
    let count = subsections(inspection);
    sections(inspection).iter().filter(|section| !is_full(section, count)).collect()
}

/// Draws them; empty if there are none.
pub(super) fn draw(inspection: &Inspection, screen: &Screen) -> String {
    let partial = partial(inspection);
    if partial.is_empty() {
        return String::new();
    }
    let size = units::bytes(inspection.subsection_bytes);
    let mut text = format!("Partial sections; one character is a subsection of {size}:\n\n");
    for section in partial.iter().take(SHOWN) {
        text.push_str(&one(inspection, section, screen));
    }
    if let Some(more) = partial.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  .. and {more} more (`--format json` has all of them)");
    }
    text
}

/// A line that names the section, and its bitmap below.
fn one(inspection: &Inspection, section: &InspectedSection, screen: &Screen) -> String {
    let bits = bits(section, subsections(inspection));
    let node = match owner(inspection, section.nr) {
        Owner::Unknown => String::new(),
        Owner::Node(node) => format!(", node {node}"),
        Owner::Several => ", several nodes".to_owned(),
    };
    let (set, count) = (bits.iter().filter(|bit| **bit).count(), bits.len());
    let address = section.nr.saturating_mul(inspection.section_bytes);
    let mut text = format!("  section {} at {address:#x}{node}: {set} of {count}\n", section.nr);
    let columns = screen.width.saturating_sub(4).clamp(8, MOST_COLUMNS);
    for row in bits.chunks(1 << columns.ilog2()) {
        let row: String = row.iter().map(|bit| if *bit { '█' } else { '·' }).collect();
        let _ = writeln!(text, "    {row}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range, section};
    use super::draw;
    use sparsemem_terminal::Screen;

    #[test]
    fn holes_inside_sections_are_seen() {
        let ranges = vec![range(0, 256 << 20, "ram", Some(3))];
        let inspection = machine(ranges, vec![section(0, !0), section(1, 0xff)]);
        let expected = format!(
            "Partial sections; one character is a subsection of 2 MiB:\n\n  section 1 at 0x8000000, node 3: 8 of \
             64\n    ████████{}\n",
            "·".repeat(56)
        );
        assert_eq!(draw(&inspection, &Screen::plain(80)), expected);
        let narrow = draw(&inspection, &Screen::plain(40));
        assert!(narrow.ends_with(&format!("    {}\n", "·".repeat(32))), "{narrow}");
    }

    #[test]
    fn no_partial_sections_no_text() {
        assert_eq!(draw(&machine(vec![], vec![section(0, !0)]), &Screen::plain(80)), "");
    }

    #[test]
    fn many_are_cut() {
        let many = (0..20).map(|nr| section(nr, 1)).collect();
        assert!(draw(&machine(vec![], many), &Screen::plain(80)).contains(".. and 4 more"));
    }
}
