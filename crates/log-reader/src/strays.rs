//! Finds lines between the rows of a table that were rows: those that lost their first word, and those that were torn off.
//!
//! # Invariants
//!
//! 1. A line that looks like a row and is none is an error once the table goes on. What follows a table may look like
//!    anything.
//! 2. A line that breaks off inside the message that its neighbours have is an error at once.
//! 3. A line that has what stands before the messages of its neighbours, and no message, is an empty one.

use crate::line::Line;
use crate::notations::e820;
use crate::statement::Statement;
use crate::{LineError, Notation, Reason};

/// Tables whose rows look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Table(Notation),
    EarlyRanges,
    Listing,
    Nodes,
    Blocks,
}

/// A row of a table.
struct Row {
    family: Family,
    /// The line.
    text: String,
    /// The line, with `0` for every number.
    shape: String,
    /// The byte of `shape` at which its message begins.
    message_at: usize,
}

/// The lines since the last row of a table.
#[derive(Default)]
pub(crate) struct Strays {
    last: Option<Row>,
    /// Lines since then that no notation knows.
    unknown: Vec<(usize, String)>,
}

/// Most unknown lines between two rows; there are more after the end of a table only.
const UNKNOWN: usize = 64;

impl Strays {
    /// The e820 table that the last row belongs to.
    pub(crate) fn last_table(&self) -> Option<Notation> {
        match self.last.as_ref()?.family {
            Family::Table(notation) if notation.is_e820_style() => Some(notation),
            _ => None,
        }
    }

    /// Looks at the next line; `row` is its message and what that says.
    pub(crate) fn see(
        &mut self,
        number: usize,
        line: Line<'_>,
        row: Option<(Line<'_>, &Statement)>,
        errors: &mut Vec<LineError>,
    ) {
        match row.map(|(message, item)| (message, item, family(item))) {
            None if self.last.as_ref().is_some_and(|last| last.breaks_in_message(line.raw)) => {
                errors.push(LineError::new(number, line.raw, Reason::TornRow));
            }
            None if self.unknown.len() < UNKNOWN => self.unknown.push((number, line.raw.to_owned())),
            Some((message, _, Some(family))) => {
                let row = Row::new(family, line, message);
                errors.extend(self.between(&row, number));
                self.unknown.clear();
                self.last = Some(row);
            }
            Some((_, Statement::TableStart | Statement::EarlyRangesStart | Statement::BootStart, _)) => {
                self.unknown.clear();
                self.last = None;
            }
            None | Some(_) => {}
        }
    }

    /// The line that a text ends with, if it follows a row and breaks off where that goes on: the end of the text is cut.
    pub(crate) fn at_end(&self, lines: usize) -> Option<LineError> {
        let ([(number, raw)], Some(last)) = (self.unknown.as_slice(), self.last.as_ref()) else {
            return None;
        };
        (*number == lines && last.breaks(raw)).then(|| LineError::new(*number, raw, Reason::TornRow))
    }

    /// The lines between the last row and a row that goes on with its table, or directly before the first row, that were
    /// rows.
    fn between(&self, row: &Row, number: usize) -> Vec<LineError> {
        let goes_on = self.last.as_ref().is_some_and(|last| last.family == row.family);
        let is_e820 = matches!(row.family, Family::Table(notation) if notation.is_e820_style());
        let reason = |(at, raw): &(usize, String)| {
            let is_row = || Line::new(raw).beginnings().any(|line| e820::is_row(line.message));
            if goes_on && is_e820 && is_row() {
                return Some(LineError::new(*at, raw, Reason::StrayRow));
            }
            let is_near = goes_on || self.last.is_none() && *at + 1 == number;
            (is_near && row.breaks(raw)).then(|| LineError::new(*at, raw, Reason::TornRow))
        };
        self.unknown.iter().filter_map(reason).collect()
    }
}

impl Row {
    /// The row of a line and its message. Rows of a listing nest, so that the white space before them says nothing.
    fn new(family: Family, line: Line<'_>, message: Line<'_>) -> Self {
        let raw = if family == Family::Listing { line.raw.trim_start() } else { line.raw };
        let before = raw.find(message.message).and_then(|at| raw.get(..at)).unwrap_or_default();
        let is_padded = before.ends_with(char::is_whitespace);
        Self {
            family,
            text: raw.to_owned(),
            shape: shape(raw),
            message_at: shape(before).len() + usize::from(is_padded),
        }
    }

    /// The shape of another line, as far as it can be one of a row of this family.
    fn shape_of(&self, raw: &str) -> String {
        shape(if self.family == Family::Listing { raw.trim_start() } else { raw })
    }

    /// True if a line is the beginning of such a row and ends in the middle of a word or of brackets.
    fn breaks(&self, raw: &str) -> bool {
        let torn = self.shape_of(raw);
        let next = |whole: &str, torn: &str| whole.strip_prefix(torn).and_then(|rest| rest.chars().next());
        let next = next(&self.shape, &torn).or_else(|| next(&self.text, raw.trim_end()));
        let Some(next) = next else { return false };
        let is_open = torn.matches('[').count() > torn.matches(']').count();
        !torn.trim().is_empty() && (torn.len() > self.message_at || is_open || !next.is_whitespace())
    }

    /// True if it ends in the message. One or two letters of it may be anything.
    fn breaks_in_message(&self, raw: &str) -> bool {
        self.family != Family::Listing && self.shape_of(raw).len() > self.message_at + 2 && self.breaks(raw)
    }
}

/// The tables that a statement is a row of.
fn family(item: &Statement) -> Option<Family> {
    match item {
        Statement::Entry(notation, _) => Some(Family::Table(*notation)),
        Statement::Frames(..) => Some(Family::EarlyRanges),
        Statement::Row(_) => Some(Family::Listing),
        Statement::Claim(_) => Some(Family::Nodes),
        Statement::Blocks(_) => Some(Family::Blocks),
        _ => None,
    }
}

/// A text with `0` for every hexadecimal number, so that two rows of a table begin alike.
fn shape(text: &str) -> String {
    let words = text.trim_end().split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let plain = |word: &str| {
        let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
        let (number, end) = word.split_at(end);
        let digits = number.strip_prefix("0x").unwrap_or(number);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        format!("{}{end}", if is_number { "0" } else { number })
    };
    words.map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(lines: &[&str]) -> Vec<usize> {
        let (mut strays, mut errors) = (Strays::default(), Vec::new());
        for (text, number) in lines.iter().zip(1usize..) {
            let line = Line::new(text);
            let read = crate::notations::read(&line).and_then(Result::ok);
            strays.see(number, line, read.as_ref().map(|item| (line, item)), &mut errors);
        }
        errors.extend(strays.at_end(lines.len()));
        errors.into_iter().map(|error| error.line).collect()
    }

    const ROW: &str = "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable";

    #[test]
    fn torn_rows_are_found() {
        for torn in ["[    0.00", "[    0.000000] BIO", "["] {
            assert_eq!(errors(&[ROW, torn, ROW]), [2], "{torn}");
            assert_eq!(errors(&[torn, ROW]), [1], "{torn}");
        }
        assert_eq!(errors(&[ROW, "[    0.00"]), [2]);
        assert_eq!(errors(&["00001000-0009ffff : System RAM", "00"]), [2]);
        let bare = "BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable";
        assert_eq!(errors(&[bare, "B", bare]), [2]);
        assert_eq!(errors(&[ROW, "[    0.000000] BIOS-e8"]), [2]);
        assert_eq!(
            errors(&["00001000-0009ffff : System RAM", "0010000", "40000000-7fffffff : System RAM"]),
            [2]
        );
    }

    #[test]
    fn other_lines_are_none() {
        for other in ["", "[    0.000000]", "[    0.000000] tsc: x", "foo", "[    1.000000] BIO is slow"] {
            assert_eq!(errors(&[ROW, other, ROW]), [], "{other}");
        }
        assert_eq!(errors(&[ROW, "[    0.00", "[    0.000000] tsc: x"]), []);
    }
}
