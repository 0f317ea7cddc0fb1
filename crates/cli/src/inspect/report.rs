//! The whole text: title, picture, partial sections, events, ranges, costs, and a summary.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::inspection::Inspection;

use super::extents::extents;
use super::{costs, folded, partial, picture, ranges, verdict};
use sparsemem_terminal::{Colour, Screen, units::bytes};

/// The number of events that are shown; further ones are only counted.
const SHOWN: usize = 10;

/// The text.
pub(super) fn render(inspection: &Inspection, screen: &Screen) -> String {
    let extents = extents(inspection);
    let picture =
        if extents.is_empty() { String::new() } else { picture::draw(inspection, &extents, screen) };
    let costs = costs::table(inspection, screen);
    let parts = [
        screen.wrap(&title(inspection), ""),
        against_itself(inspection, screen),
        picture,
        partial::draw(inspection, screen),
        events(inspection, screen),
        ranges::text(inspection, screen),
        format!("Memory that each backend takes:\n\n{costs}"),
        folded::text(inspection, screen),
        screen.wrap(&verdict::text(inspection), ""),
    ];
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n\n"))
}

fn title(inspection: &Inspection) -> String {
    let ram = bytes(inspection.ram_bytes);
    format!("{}: {ram} of RAM, with the geometry of {}", inspection.machine, inspection.geometry)
}

/// The contradictions of the file; if there are none, the strongest figure that it agrees with.
fn against_itself(inspection: &Inspection, screen: &Screen) -> String {
    let indent = " ".repeat("contradiction: ".len());
    if inspection.contradictions.is_empty() {
        let strongest = inspection.agreements.first();
        return strongest.map(|text| screen.wrap(&format!("The map {text}."), "")).unwrap_or_default();
    }
    let mut text = String::new();
    for contradiction in inspection.contradictions.iter().take(SHOWN) {
        let lines = screen.wrap(contradiction, &indent);
        let _ = write!(text, "{} {}", screen.paint("contradiction:", Colour::Yellow), lines.trim_start());
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    if let Some(more) = inspection.contradictions.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "contradiction: .. and {more} more");
    }
    text
}

/// The events of boot, once for all backends that reported the same.
fn events(inspection: &Inspection, screen: &Screen) -> String {
    let events = inspection.backends.values().flat_map(|backend| &backend.events);
    let mut known = BTreeSet::new();
    let seen: Vec<&String> = events.filter(|event| known.insert(*event)).collect();
    let mut text = String::new();
    for event in seen.iter().take(SHOWN) {
        let indent = "      ";
        let lines = screen.wrap(event, indent);
        let _ = write!(text, "{} {}", screen.paint("boot:", Colour::Yellow), &lines[indent.len()..]);
    }
    if let Some(more) = seen.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "boot: .. and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range, section, with_an_array};
    use super::render;
    use sparsemem_terminal::Screen;

    #[test]
    fn events_are_told_once() {
        let mut inspection = machine(vec![range(0, 128 << 20, "ram", None)], vec![section(0, !0)]);
        let backend = inspection.backends.get_mut("a-table").unwrap();
        backend.events = vec!["section 0 is shared".to_owned()];
        let text = render(&with_an_array(inspection), &Screen::plain(80));
        assert_eq!(text.matches("boot: section 0 is shared").count(), 1, "{text}");
        assert!(
            text.starts_with("made-up.dmesg: 128 MiB of RAM, with the geometry of x86_64\n\nOne character")
        );
        assert!(!text.contains("\n\n\n"), "{text}");
    }

    #[test]
    fn a_file_that_contradicts_itself_says_so_above_the_picture() {
        let mut inspection = machine(vec![range(0, 128 << 20, "ram", None)], vec![section(0, !0)]);
        inspection.agreements = vec!["agrees with the kernel's own 32768 pages (line 9)".to_owned()];
        let text = render(&inspection, &Screen::plain(80));
        assert!(text.contains("The map agrees with the kernel's own 32768 pages (line 9).\n"), "{text}");
        inspection.contradictions =
            vec!["the end of RAM: the log says 0x1, and its map gives 0x2".to_owned()];
        let text = render(&inspection, &Screen::plain(80));
        let said = text.find("contradiction: the end of RAM").unwrap();
        assert!(said < text.find("One character").unwrap() && !text.contains("agrees"), "{text}");
    }

    #[test]
    fn a_machine_without_anything_has_no_picture() {
        let text = render(&machine(vec![], vec![]), &Screen::plain(80));
        assert!(!text.contains("One character"), "{text}");
        assert!(text.ends_with("this geometry can hold.\n"), "{text}");
    }

    #[test]
    fn a_large_machine_with_a_long_name_fits_80_columns() {
        let ranges =
            vec![range(0, 1 << 46, "ram", Some(9)), range(1 << 46, u64::MAX, "hotplug-window", None)];
        let mut inspection = machine(ranges, vec![section(0, 1), section(1, !0)]);
        inspection.machine = "some/where/hwloc-opteron-8n-128g-shared-blocks.memblocks".to_owned();
        let backend = inspection.backends.get_mut("a-table").unwrap();
        backend.events = vec!["a section is shared, and boot reports this in many words ".repeat(3)];
        let text = render(&with_an_array(inspection), &Screen::plain(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn plain_screens_get_no_escapes() {
        let inspection = machine(vec![range(0, 128 << 20, "ram", Some(0))], vec![section(0, !0)]);
        assert!(!render(&inspection, &Screen::plain(80)).contains('\u{1b}'));
        assert!(render(&inspection, &Screen::coloured(80)).contains('\u{1b}'));
    }
}
