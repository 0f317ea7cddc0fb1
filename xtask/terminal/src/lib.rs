//! The parts that every command shares: the terminal that its output goes to, units, and the ways in which a command
//! ends.
//!
//! # Invariants
//!
//! 1. Without a terminal, and with `NO_COLOR` set and not empty, no escape sequence is written.

#![forbid(unsafe_code)]

mod documents;
mod failure;
mod format;
pub mod units;

use std::io::{IsTerminal, Write};

use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};

pub use documents::check_commands;
pub use failure::{Failure, Status, finish, remark};
pub use format::Format;

/// Columns where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 80;

/// The line below the head of a table.
const RULE: LineStyle = LineStyle::none().fill('─').junction('─');

/// The colours in use, by their escape codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Something failed.
    Red = 31,
    /// Something passed.
    Green = 32,
    /// Something deserves a look.
    Yellow = 33,
    /// RAM in a picture, and other things that are told apart.
    Blue = 34,
    /// Persistent memory in a picture.
    Magenta = 35,
    /// Devices in a picture.
    Cyan = 36,
    /// Nothing of interest.
    Grey = 90,
}

/// The screen that the output goes to.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    colours: bool,
}

impl Colour {
    /// A table cell in this colour; the table knows whether it may show it.
    #[must_use]
    pub fn cell(self, text: &str) -> Cell {
        Cell::new(text).fg(match self {
            Self::Red => Color::DarkRed,
            Self::Green => Color::DarkGreen,
            Self::Yellow => Color::DarkYellow,
            Self::Blue => Color::DarkBlue,
            Self::Magenta => Color::DarkMagenta,
            Self::Cyan => Color::DarkCyan,
            Self::Grey => Color::DarkGrey,
        })
    }
}

impl Screen {
    /// The screen that standard output is.
    pub fn of_stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let width = is_terminal.then(|| Table::new().width()).flatten();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { width: width.map_or(DEFAULT_WIDTH, usize::from), colours: is_terminal && !no_colour }
    }

    /// A screen without colours.
    #[must_use]
    pub fn plain(width: usize) -> Self {
        Self { width, colours: false }
    }

    /// A screen with colours.
    #[must_use]
    pub fn coloured(width: usize) -> Self {
        Self { width, colours: true }
    }

    /// `text` in `colour`, where there are colours.
    #[must_use]
    pub fn paint(&self, text: &str, colour: Colour) -> String {
        if self.colours { format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8) } else { text.to_owned() }
    }

    /// `text` in lines that fit, each behind `indent`; a word that is too long is a line of its own.
    #[must_use]
    pub fn wrap(&self, text: &str, indent: &str) -> String {
        let room = self.width.saturating_sub(indent.chars().count());
        if text.chars().count() <= room {
            return format!("{indent}{text}\n");
        }
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines.iter().map(|line| format!("{indent}{line}\n")).collect()
    }

    /// An empty table that fits.
    #[must_use]
    pub fn table(&self, head: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(RULE));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.width).unwrap_or(u16::MAX));
        if self.colours {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        table.set_header(head.iter().map(|name| Cell::new(*name).add_attribute(Attribute::Bold)));
        for (nr, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, u16::from(nr + 1 < head.len())));
        }
        // Names stay whole: people copy them.
        if let Some(names) = table.column_mut(0) {
            names.set_constraint(ColumnConstraint::ContentWidth);
        }
        table
    }
}

/// Writes a finished text to standard output.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Failure::NobodyListens)
}

/// Writes one JSON value and the end of its line to standard output.
pub fn say_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Broken(error.to_string()))?;
    say(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::{Colour, Screen};

    #[test]
    fn colours_only_where_there_are_any() {
        assert_eq!(Screen::plain(80).paint("ok", Colour::Green), "ok");
        assert_eq!(Screen::coloured(80).paint("ok", Colour::Green), "\u{1b}[32mok\u{1b}[0m");
    }

    #[test]
    fn words_stay_whole_and_lines_fit() {
        let screen = Screen::plain(12);
        assert_eq!(screen.wrap("one two three", "  "), "  one two\n  three\n");
        assert_eq!(screen.wrap("a longer-than-a-line b", ""), "a\nlonger-than-a-line\nb\n");
    }

    #[test]
    fn tables_fit() {
        let mut table = Screen::plain(30).table(&["a", "b"]);
        table.add_row(vec!["word".to_owned(), "word ".repeat(10)]);
        assert!(table.to_string().lines().all(|line| line.chars().count() <= 30), "{table}");
    }
}
