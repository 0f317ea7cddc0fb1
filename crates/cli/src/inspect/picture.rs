//! Draws the picture: a character for each section, or for a group of sections on large machines.

use std::fmt::Write;

use crate::inspection::Inspection;

use super::bands::{Band, Fold, bands, count_drawn};
use super::extents::{Extent, Owner, What};
use sparsemem_terminal::{Colour, Screen, units::bytes};

/// The largest number of rows; a larger machine gets more sections per character.
const MOST_ROWS: u64 = 24;
/// The largest number of characters in a row.
const MOST_COLUMNS: u64 = 64;
/// Columns of a row in addition to its characters and its address.
const MARGIN: usize = 3;

/// Characters that do not stand for a node.
const LEGEND: &[(char, &str)] = &[
    ('█', "RAM"),
    ('#', "RAM of a node above 32"),
    ('x', "RAM of several nodes"),
    ('▒', "RAM and holes"),
    ('!', "RAM without a section"),
    ('P', "persistent"),
    ('S', "soft-reserved"),
    ('+', "hotplug window"),
    ('-', "reserved or device"),
    ('·', "nothing"),
];

/// The scale of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// Characters per row.
    columns: u64,
    /// Sections per character.
    sections: u64,
}

impl Scale {
    fn row(self) -> u64 {
        self.columns * self.sections
    }
}

/// A line of the picture.
pub(super) enum Line {
    /// A row of characters, with the address that it begins at.
    Drawn {
        /// The address in hexadecimal.
        address: String,
        /// The characters.
        glyphs: Vec<Glyph>,
    },
    /// Rows that are not drawn, in words.
    Fold(String),
}

/// The picture with its legend.
pub(super) fn draw(inspection: &Inspection, extents: &[Extent], screen: &Screen) -> String {
    let (scale, lines) = lines_of(inspection, extents, screen.width);
    let mut text = format!("{}\n\n", heading(scale, inspection.section_bytes));
    for line in &lines {
        let _ = match line {
            Line::Fold(what) => writeln!(text, "  ⋮  {what}"),
            Line::Drawn { address, glyphs } => {
                let runs = glyphs.chunk_by(|one, other| one.colour == other.colour);
                let row: String = runs.map(|run| shown(run, screen)).collect();
                writeln!(text, "{address} {row}")
            }
        };
    }
    let _ = writeln!(text, "\n{}", legend(&drawn(&lines), screen.width));
    text
}

/// Columns where the width does not matter: enough for the longest row and its address.
const IMAGE_COLUMNS: usize = 100;

/// The lines of the picture where its width does not matter, and the legend, as one line.
pub(super) fn lines(inspection: &Inspection, extents: &[Extent]) -> (Vec<Line>, String) {
    let (_, lines) = lines_of(inspection, extents, IMAGE_COLUMNS);
    let legend = legend(&drawn(&lines), usize::MAX);
    (lines, legend)
}

/// The text that says what one character of [`lines`] stands for.
pub(super) fn scale_text(inspection: &Inspection, extents: &[Extent]) -> String {
    heading(lines_of(inspection, extents, IMAGE_COLUMNS).0, inspection.section_bytes)
}

fn lines_of(inspection: &Inspection, extents: &[Extent], width: usize) -> (Scale, Vec<Line>) {
    let digits = address_digits(inspection, extents);
    let scale = scale(extents, width.saturating_sub(MARGIN + digits));
    let row_bytes = scale.row().saturating_mul(inspection.section_bytes);
    let mut lines = Vec::new();
    for band in bands(extents, scale.row()) {
        if band.fold != Fold::Drawn {
            lines.push(Line::Fold(fold(&band, row_bytes)));
            continue;
        }
        lines.extend(band.rows.map(|row| Line::Drawn {
            address: format!("{:#0width$x}", row * row_bytes, width = digits + 2),
            glyphs: glyphs(extents, row, scale),
        }));
    }
    (scale, lines)
}

/// Every character that is drawn.
fn drawn(lines: &[Line]) -> Vec<char> {
    let glyphs = lines.iter().flat_map(|line| match line {
        Line::Drawn { glyphs, .. } => glyphs.as_slice(),
        Line::Fold(_) => &[],
    });
    glyphs.map(|glyph| glyph.letter).collect()
}

/// The characters of one row.
fn glyphs(extents: &[Extent], row: u64, scale: Scale) -> Vec<Glyph> {
    let start = |column| row * scale.row() + column * scale.sections;
    (0..scale.columns).map(|column| cell(extents, start(column), scale.sections)).collect()
}

fn heading(scale: Scale, size: u64) -> String {
    let group = match scale.sections {
        1 => format!("a section of {}", bytes(size)),
        many => format!("{many} sections of {}, together {}", bytes(size), bytes(many * size)),
    };
    format!("One character is {group}; a row is {}.", bytes(scale.row().saturating_mul(size)))
}

/// Rows that are not drawn, in words.
fn fold(band: &Band, row_bytes: u64) -> String {
    let count = band.rows.end - band.rows.start;
    let rows = if count == 1 { "a row".to_owned() } else { format!("{count} rows") };
    let what = if band.fold == Fold::Nothing { "without anything" } else { "like the one above" };
    format!("{rows} {what}, {}", bytes(count.saturating_mul(row_bytes)))
}

/// Hexadecimal digits of the longest address.
fn address_digits(inspection: &Inspection, extents: &[Extent]) -> usize {
    let end = extents.last().map_or(0, |extent| extent.end.saturating_mul(inspection.section_bytes));
    format!("{end:x}").len()
}

/// The smallest number of sections per character with which the rows fit.
fn scale(extents: &[Extent], room: usize) -> Scale {
    let room = (room as u64).clamp(8, MOST_COLUMNS);
    let columns = 1 << room.ilog2();
    let fits = |sections: &u64| count_drawn(&bands(extents, columns * sections)) <= MOST_ROWS;
    let sections = (0..63 - columns.ilog2()).map(|bit| 1 << bit).find(fits).unwrap_or(1);
    Scale { columns, sections }
}

/// One character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) letter: char,
    pub(super) colour: Colour,
}

/// Characters of one colour.
fn shown(run: &[Glyph], screen: &Screen) -> String {
    let letters: String = run.iter().map(|glyph| glyph.letter).collect();
    run.first().map_or_else(String::new, |glyph| screen.paint(&letters, glyph.colour))
}

/// The character for `count` sections from `start`.
fn cell(extents: &[Extent], start: u64, count: u64) -> Glyph {
    let end = start + count;
    let from = extents.partition_point(|extent| extent.end <= start);
    let inside = extents[from..].iter().take_while(|extent| extent.start < end);
    let (mut covered, mut whats) = (0, Vec::new());
    for extent in inside {
        covered += extent.end.min(end) - extent.start.max(start);
        whats.push(extent.what);
    }
    glyph(together(&whats, covered == count))
}

/// The kind of a group of sections: full only if all of them are, and of one node only if all of them are.
fn together(whats: &[What], covered: bool) -> Option<What> {
    let greatest = whats.iter().copied().max()?;
    if whats.contains(&What::Lost) {
        return Some(What::Lost);
    }
    let owners = whats.iter().filter_map(|what| match what {
        What::Full(owner) | What::Partial(owner) => Some(*owner),
        _ => None,
    });
    let Some(owner) = owners.reduce(|one, other| if one == other { one } else { Owner::Several }) else {
        return Some(greatest);
    };
    let full = covered && whats.iter().all(|what| matches!(what, What::Full(_)));
    Some(if full { What::Full(owner) } else { What::Partial(owner) })
}

fn glyph(what: Option<What>) -> Glyph {
    let plain = |letter| Glyph { letter, colour: Colour::Grey };
    let with = |letter, colour| Glyph { letter, colour };
    match what {
        None => plain('·'),
        Some(What::Other) => plain('-'),
        Some(What::Window) => plain('+'),
        Some(What::SoftReserved) => with('S', Colour::Magenta),
        Some(What::Persistent) => with('P', Colour::Yellow),
        Some(What::Lost) => with('!', Colour::Red),
        Some(What::Partial(owner)) => Glyph { letter: '▒', colour: owner_colour(owner) },
        Some(What::Full(owner)) => Glyph { letter: owner_letter(owner), colour: owner_colour(owner) },
    }
}

/// `0` to `9`, then `a` to `w`, then `#`; `x` stands for several nodes.
fn owner_letter(owner: Owner) -> char {
    match owner {
        Owner::Unknown => '█',
        Owner::Node(node) => char::from_digit(node, 33).filter(|_| node < 33).unwrap_or('#'),
        Owner::Several => 'x',
    }
}

fn owner_colour(owner: Owner) -> Colour {
    const NODES: [Colour; 4] = [Colour::Green, Colour::Cyan, Colour::Blue, Colour::Magenta];
    match owner {
        Owner::Unknown => Colour::Green,
        Owner::Node(node) => NODES[node as usize % NODES.len()],
        Owner::Several => Colour::Yellow,
    }
}

/// The meaning of the drawn characters.
fn legend(drawn: &[char], width: usize) -> String {
    let is_node = |letter: &char| letter.is_ascii_digit() || letter.is_ascii_lowercase() && *letter != 'x';
    let mut nodes: Vec<char> = drawn.iter().copied().filter(is_node).collect();
    nodes.sort_unstable();
    let nodes = match (nodes.first(), nodes.last()) {
        (Some(first), Some(last)) if first == last => Some(format!("{first} RAM of node {first}")),
        (Some(first), Some(last)) => Some(format!("{first}-{last} RAM of that node")),
        _ => None,
    };
    let entries = LEGEND.iter().filter(|(letter, _)| drawn.contains(letter));
    wrap(nodes.into_iter().chain(entries.map(|(letter, meaning)| format!("{letter} {meaning}"))), width)
}

/// The entries in lines that fit.
fn wrap(entries: impl Iterator<Item = String>, width: usize) -> String {
    let mut lines = vec![String::new()];
    for entry in entries {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 3 + entry.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "  " } else { "   " });
            line.push_str(&entry);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::extents::{Extent, Owner, What, extents};
    use super::super::sample::{machine, range, section};
    use super::{Scale, cell, draw, legend, scale};
    use sparsemem_terminal::Screen;

    const SECTION: u64 = 128 << 20;

    #[test]
    fn a_small_machine_gets_a_character_per_section() {
        let ranges = vec![
            range(0, 3 * SECTION, "ram", Some(0)),
            range(5 * SECTION, 6 * SECTION, "reserved", None),
            range(6 * SECTION, 7 * SECTION, "ram", Some(1)),
            range(200 * SECTION, 201 * SECTION, "persistent", None),
        ];
        let inspection =
            machine(ranges, vec![section(0, !0), section(1, !0), section(2, !1), section(6, !0)]);
        let text = draw(&inspection, &extents(&inspection), &Screen::plain(80));
        let nothing = "·".repeat(57);
        let expected = format!(
            "One character is a section of 128 MiB; a row is 8 GiB.\n\n0x000000000 00▒··-1{nothing}\n  ⋮  2 rows \
             without anything, 16 GiB\n0x600000000 ········P{}\n\n  0-1 RAM of that node   ▒ RAM and holes   \
             P persistent   - reserved or device\n  · nothing\n",
            "·".repeat(55)
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_narrow_screen_gets_shorter_rows() {
        let inspection = machine(vec![range(0, SECTION, "ram", None)], vec![section(0, !0)]);
        let text = draw(&inspection, &extents(&inspection), &Screen::plain(40));
        assert!(text.contains("0x0000000 █···············\n"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn large_machines_get_groups() {
        let full = Extent { start: 0, end: 1 << 19, what: What::Full(Owner::Node(0)) };
        let scale = scale(&[full], 70);
        assert_eq!(scale, Scale { columns: 64, sections: 512 });
    }

    #[test]
    fn a_group_is_full_only_if_all_of_it_is() {
        let what = |start, end, what| Extent { start, end, what };
        let row = [
            what(0, 4, What::Full(Owner::Node(0))),
            what(4, 6, What::Full(Owner::Node(1))),
            what(6, 7, What::Window),
            what(9, 10, What::Lost),
        ];
        let letters: String = (0..6).map(|index| cell(&row, index * 2, 2).letter).collect();
        assert_eq!(letters, "001+!·");
        assert_eq!(cell(&row, 0, 8).letter, '▒');
        assert_eq!(cell(&row, 2, 4).letter, 'x');
    }

    #[test]
    fn a_window_over_everything_does_not_shrink_the_rest() {
        let ranges = vec![range(0, 1 << 30, "ram", None), range(1 << 30, u64::MAX, "hotplug-window", None)];
        let inspection = machine(ranges, (0..8).map(|nr| section(nr, !0)).collect());
        let text = draw(&inspection, &extents(&inspection), &Screen::plain(90));
        assert!(text.starts_with("One character is a section of 128 MiB"), "{text}");
        assert!(text.contains("  ⋮  2147483646 rows like the one above, 16 EiB\n"), "{text}");
    }

    #[test]
    fn nodes_are_named_in_the_legend() {
        assert_eq!(legend(&['3', '3', '▒'], 80), "  3 RAM of node 3   ▒ RAM and holes");
        assert_eq!(legend(&['0', 'a', '2'], 80), "  0-a RAM of that node");
    }
}
