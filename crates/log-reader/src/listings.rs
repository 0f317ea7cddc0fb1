//! Makes tables of the rows of iomem listings, and finds rows that cannot stand where they stand.
//!
//! # Invariants
//!
//! 1. A listing is sorted by address, and its rows nest. A row below the first one of a listing, or the same row again,
//!    begins another listing.
//! 2. Of several listings the last counts; RAM that only an earlier one has is told.

use sparsemem_core::PhysRange;

use crate::boot::Placed;
use crate::notations::iomem::{flattened, has_memory, has_ram, is_hidden, is_memory};
use crate::statement::IomemRow;
use crate::sweep::greatest;
use crate::{Contradiction, LineError, MapTable, Notation, RangeKind, Reason};

/// The rows of all listings, in the order of their lines.
pub(crate) struct Rows(Vec<Placed<IomemRow>>);

/// Every listing as a table.
pub(crate) struct Listings {
    pub(crate) tables: Vec<MapTable>,
    /// RAM that an earlier listing has and a later one has not.
    pub(crate) lost: Vec<Contradiction>,
}

impl Rows {
    /// Rows without those in other people's sentences, which have other words before them than most rows.
    pub(crate) fn without_comments(mut rows: Vec<Placed<IomemRow>>) -> Self {
        if let Some(usual) = rows.first().map(|row| shape(&row.item.prefix)) {
            rows.retain(|row| is_memory(&row.item.name) || shape(&row.item.prefix) == usual);
        }
        Self(rows)
    }

    /// The number of rows.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// True if no row shows an address.
    pub(crate) fn are_hidden(&self) -> bool {
        is_hidden(&plain(&self.0))
    }

    /// True if a row is of memory.
    pub(crate) fn have_memory(&self) -> bool {
        has_memory(&plain(&self.0))
    }

    /// Makes tables of the listings that have RAM, or of all of them if none has.
    pub(crate) fn into_tables(self, errors: &mut Vec<LineError>) -> Listings {
        let mut listings = split(&self.0);
        if listings.iter().any(|listing| has_ram(&plain(listing))) {
            listings.retain(|listing| has_ram(&plain(listing)));
        }
        let mut made = Listings { tables: Vec::new(), lost: Vec::new() };
        for listing in listings {
            made.add(listing, errors);
        }
        made
    }
}

impl Listings {
    /// Makes a table of one listing.
    fn add(&mut self, listing: &[Placed<IomemRow>], errors: &mut Vec<LineError>) {
        let (Some(first), Some(last)) = (listing.first(), listing.last()) else { return };
        let rows = plain(listing);
        if let Some((place, other, reason)) = misplaced(&rows)
            && let (Some(row), Some(other)) = (listing.get(place), listing.get(other))
        {
            errors.push(LineError::new(row.line, &row.text, reason(other.line)));
        }
        let (first_line, last_line, entries) = (first.line, last.line, flattened(&rows));
        let table = MapTable { notation: Notation::IOMEM, entries, first_line, last_line };
        self.lost.extend(self.tables.last().and_then(|earlier| lost(earlier, &table)));
        self.tables.push(table);
    }
}

/// The listings one by one.
fn split(mut rows: &[Placed<IomemRow>]) -> Vec<&[Placed<IomemRow>]> {
    let mut listings = Vec::new();
    while let Some((first, others)) = rows.split_first() {
        let first = &first.item;
        let begins = |row: &Placed<IomemRow>| {
            let is_same = row.item.range == first.range && row.item.name == first.name;
            row.item.range.start() < first.range.start() || is_same
        };
        let end = others.iter().position(begins).map_or(rows.len(), |at| at + 1);
        let (listing, rest) = rows.split_at(end);
        listings.push(listing);
        rows = rest;
    }
    listings
}

/// Rows without their lines.
fn plain(rows: &[Placed<IomemRow>]) -> Vec<IomemRow> {
    rows.iter().map(|placed| placed.item.clone()).collect()
}

/// The text before a row, with `0` for each number in any notation, so that line numbers and times make no difference.
fn shape(prefix: &str) -> String {
    let words =
        prefix.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.trim().is_empty());
    let plain = |word: &str| {
        let number = word.trim_start_matches("0x").trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_number = number.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_number {
            format!("0{}", word.trim_start_matches("0x").trim_start_matches(number))
        } else {
            word.to_owned()
        }
    };
    words.map(plain).filter(|word| word != "0 ").collect()
}

/// The white space directly before a row.
fn indent_of(row: &IomemRow) -> usize {
    row.prefix.len() - row.prefix.trim_end_matches([' ', '\t']).len()
}

/// The error in the place of a row: its place, that of the other row, and the reason, given the other row's line.
type Misplaced = (usize, usize, fn(usize) -> Reason);

/// The first row that cannot stand where it stands.
fn misplaced(rows: &[IomemRow]) -> Option<Misplaced> {
    overlap(rows).or_else(|| unsorted(rows)).or_else(|| orphan(rows))
}

/// The first row that overlaps an earlier one without lying in it.
fn overlap(rows: &[IomemRow]) -> Option<Misplaced> {
    let mut open: Vec<(usize, PhysRange)> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        while let Some((other, range)) = open.last().filter(|(_, range)| !range.contains_range(row.range)) {
            if range.overlaps(row.range) {
                return Some((place, *other, |line| Reason::Overlap { line }));
            }
            open.pop();
        }
        open.push((place, row.range));
    }
    None
}

/// The first row that begins below the one before it: a listing is sorted.
fn unsorted(rows: &[IomemRow]) -> Option<Misplaced> {
    let pairs = rows.iter().zip(rows.iter().skip(1)).zip(1..);
    let falls =
        |((before, row), _): &((&IomemRow, &IomemRow), usize)| row.range.start() < before.range.start();
    pairs
        .into_iter()
        .find(falls)
        .map(|(_, place)| (place, place - 1, (|line| Reason::Order { line }) as fn(usize) -> Reason))
}

/// The first row that is indented as a part of another and does not lie in it, or is a part of the kernel and lies in no
/// row at all. The first row of a paste may have lost its indentation.
fn orphan(rows: &[IomemRow]) -> Option<Misplaced> {
    const KERNEL: [&str; 4] = ["Kernel code", "Kernel data", "Kernel bss", "Kernel rodata"];
    let least = rows.iter().skip(1).map(indent_of).min().unwrap_or(0);
    let indent = |row: &IomemRow| indent_of(row).max(least);
    let mut open: Vec<(usize, &IomemRow)> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        while open.last().is_some_and(|(_, parent)| indent(parent) >= indent(row)) {
            open.pop();
        }
        let parent = open.last().copied();
        let is_outside = parent.is_some_and(|(_, parent)| !parent.range.contains_range(row.range));
        let lies = rows.iter().take(place).any(|other| other.range.contains_range(row.range));
        if is_outside || !lies && KERNEL.contains(&row.name.as_str()) {
            return Some((place, parent.map_or(place.saturating_sub(1), |(at, _)| at), |line| {
                Reason::Orphan { line }
            }));
        }
        open.push((place, row));
    }
    None
}

/// The contradiction that a table lacks RAM of an earlier one of the same notation.
pub(crate) fn lost(earlier: &MapTable, later: &MapTable) -> Option<Contradiction> {
    let paint = |table: &MapTable, is_later: bool| -> Vec<(PhysRange, bool)> {
        let ram = table.entries.iter().filter(|entry| entry.kind == RangeKind::Ram);
        ram.map(|entry| (entry.range, is_later)).collect()
    };
    let paints = [paint(earlier, false), paint(later, true)].concat();
    let (range, _) = greatest(&paints).into_iter().find(|(_, is_later)| !is_later)?;
    let (earlier_line, first_line) = (earlier.first_line, later.first_line);
    Some(Contradiction::Listings { range, earlier_line, first_line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;
    use crate::statement::Statement;

    fn misplaced_row(text: &str) -> Option<(usize, usize, Reason)> {
        let row = |line: &str| match crate::notations::read(&Line::new(line)) {
            Some(Ok(Statement::Row(row))) => row,
            _ => panic!("{line}"),
        };
        let rows: Vec<_> = text.lines().map(row).collect();
        misplaced(&rows).map(|(place, other, reason)| (place, other, reason(0)))
    }

    #[test]
    fn a_row_whose_parent_is_missing_is_misplaced() {
        let text = "\
00001000-0009ffff : System RAM
000a0000-000fffff : reserved
  000f0000-000fffff : System ROM
  01000000-01ffffff : Kernel code
fec00000-fec00fff : IOAPIC";
        assert_eq!(misplaced_row(text), Some((3, 1, Reason::Orphan { line: 0 })));
        assert_eq!(misplaced_row(&text.replace("  ", "")), Some((3, 2, Reason::Orphan { line: 0 })));
        let whole = text.replace("  010", "00100000-bfffffff : System RAM\n  010");
        assert_eq!(misplaced_row(&whole), None);
        // Everything but the first row is indented: the paste began behind its indentation.
        let pasted = whole.replace('\n', "\n    ");
        assert_eq!(misplaced_row(&pasted), None);
    }

    #[test]
    fn numbers_before_rows_make_no_difference() {
        assert_eq!(shape("0x00000a0: [    9.99] "), shape("0x0000100: [   10.00] "));
        assert_eq!(shape("9:"), shape("10:"));
        assert_ne!(shape(""), shape("# the border is: "));
    }

    #[test]
    fn a_listing_is_sorted() {
        let text =
            "00001000-0009ffff : System RAM\n40000000-7fffffff : System RAM\n00100000-3fffffff : System RAM";
        assert_eq!(misplaced_row(text), Some((2, 1, Reason::Order { line: 0 })));
    }
}
