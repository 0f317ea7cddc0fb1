//! Draws the picture as SVG, with the same rows, characters and legend as the text.

use std::fmt::Write;

use super::extents::Extent;
use super::picture::{Glyph, Line, lines, scale_text};
use crate::inspection::Inspection;
use sparsemem_terminal::{Colour, units::bytes};

/// Width of a character's rectangle, in the image's units.
const CELL: usize = 10;
/// Height of a row.
const ROW: usize = 18;
/// The left border of the rectangles, after the addresses.
const LEFT: usize = 150;
/// Rows of text above and below the picture.
const HEAD: usize = 3;

/// The image.
pub(super) fn draw(inspection: &Inspection, extents: &[Extent]) -> String {
    let (lines, legend) = lines(inspection, extents);
    let width = LEFT + CELL * 66;
    let height = ROW * (HEAD + lines.len() + 2);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let title = format!(
        "{}: {} of RAM, with the geometry of {}",
        inspection.machine,
        bytes(inspection.ram_bytes),
        inspection.geometry
    );
    text(&mut svg, 0, 0, &title);
    text(&mut svg, 0, 1, &scale_text(inspection, extents));
    for (at, line) in lines.iter().enumerate() {
        match line {
            Line::Fold(what) => text(&mut svg, LEFT, HEAD + at, what),
            Line::Drawn { address, glyphs } => {
                text(&mut svg, 0, HEAD + at, address);
                row(&mut svg, HEAD + at, glyphs);
            }
        }
    }
    text(&mut svg, 0, HEAD + lines.len() + 1, &legend);
    svg.push_str("</svg>\n");
    svg
}

/// A rectangle for each run of equal characters, with the character on each of them.
fn row(svg: &mut String, at: usize, glyphs: &[Glyph]) {
    let mut column = 0;
    for run in glyphs.chunk_by(|one, other| one == other) {
        let (x, y, wide) = (LEFT + column * CELL, at * ROW, run.len() * CELL);
        let colour = colour(run[0].colour);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{}\" fill=\"{colour}\"/>",
            ROW - 2
        );
        for nr in 0..run.len() {
            text(svg, x + nr * CELL + 1, at, &run[0].letter.to_string());
        }
        column += run.len();
    }
}

/// A line of text.
fn text(svg: &mut String, x: usize, at: usize, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let y = at * ROW + ROW - 5;
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" xml:space=\"preserve\">{escaped}</text>");
}

/// Light enough for black letters.
const fn colour(of: Colour) -> &'static str {
    match of {
        Colour::Red => "#f4a6a6",
        Colour::Green => "#a8dba8",
        Colour::Yellow => "#f3e29b",
        Colour::Blue => "#a9c4f0",
        Colour::Magenta => "#dfb0e6",
        Colour::Cyan => "#a3dfe0",
        Colour::Grey => "#eeeeee",
    }
}

#[cfg(test)]
mod tests {
    use super::super::extents::extents;
    use super::super::sample::{machine, range, section};
    use super::draw;

    #[test]
    fn rows_runs_and_legend_are_those_of_the_text_and_names_are_escaped() {
        let ranges = vec![range(0, 256 << 20, "ram", Some(0)), range(256 << 20, 384 << 20, "reserved", None)];
        let mut inspection = machine(ranges, vec![section(0, !0), section(1, !0)]);
        inspection.machine = "<my> & log".to_owned();
        let svg = draw(&inspection, &extents(&inspection));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains("&lt;my&gt; &amp; log: 256 MiB of RAM"), "{svg}");
        assert!(svg.contains("width=\"20\" height=\"16\" fill=\"#a8dba8\""), "two sections of node 0: {svg}");
        assert!(svg.contains("RAM of node 0") && svg.contains("reserved or device"), "{svg}");
    }

    #[test]
    fn a_machine_without_anything_has_an_image_too() {
        let inspection = machine(vec![], vec![]);
        assert!(draw(&inspection, &extents(&inspection)).ends_with("</svg>\n"));
    }
}
