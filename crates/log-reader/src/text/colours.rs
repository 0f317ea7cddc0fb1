//! Takes the escape sequences of a terminal out of a line, also where the escape itself was lost or spelled out.
//!
//! # Invariants
//!
//! 1. Without an escape only `[` digits `m` and `[` digits `K` count as sequences, so that `[mem` is none.

use std::borrow::Cow;

const ESCAPE: char = '\u{1b}';

/// The spellings of an escape by editors and syslog servers.
const SPELLED: [&str; 8] = ["^[[", "#033[", "\\033[", "\\x1b[", "\\x1B[", "\\e[", "\\u001b[", "\u{241b}["];

/// A line without colours, and without the carriage returns that redraw it.
pub(super) fn removed(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches('\r');
    let is_plain = !line.contains([ESCAPE, '\u{7}', '\u{0}', '\r'])
        && !SPELLED.iter().any(|spelled| line.contains(spelled))
        && !has_lost_sequence(line);
    if is_plain {
        return Cow::Borrowed(line);
    }
    let mut line = SPELLED.iter().fold(line.to_owned(), |line, spelled| line.replace(spelled, "\u{1b}["));
    line.retain(|c| !matches!(c, '\u{7}' | '\u{0}' | '\r'));
    Cow::Owned(without_lost(&without_escapes(&line)))
}

/// A line without the sequences that have their escape.
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(ESCAPE) {
        plain.push_str(before);
        rest = after_sequence(after);
    }
    plain.push_str(rest);
    plain
}

/// The text after the rest of an escape sequence: `[` parameters letter, or one character.
fn after_sequence(text: &str) -> &str {
    match text.strip_prefix('[') {
        Some(parameters) => {
            let end = parameters.find(|c: char| ('@'..='~').contains(&c));
            end.map_or("", |end| parameters.get(end + 1..).unwrap_or_default())
        }
        None => {
            let mut chars = text.chars();
            chars.next();
            chars.as_str()
        }
    }
}

/// True if a line has a sequence without its escape.
fn has_lost_sequence(line: &str) -> bool {
    line.match_indices('[').any(|(at, _)| line.get(at + 1..).is_some_and(|rest| lost_length(rest).is_some()))
}

/// A line without the sequences that lost their escape.
fn without_lost(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        match lost_length(after) {
            Some(length) => rest = after.get(length..).unwrap_or_default(),
            None => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// The length of `0;32m` or `2K` at the start of a text.
fn lost_length(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let is_one = end > 0 && end <= 12 && text.get(end..)?.starts_with(['m', 'K']);
    is_one.then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::removed;

    #[test]
    fn colours_and_line_ends_are_taken_off() {
        for coloured in [
            "\u{1b}[32m[    0.000000] \u{1b}[0m\u{1b}[33mBIOS-e820: \u{1b}[0m[mem 0x0-0xfff]\r",
            "^[[32m[    0.000000] ^[[0mBIOS-e820: [mem 0x0-0xfff]^[[K",
            "#033[32m[    0.000000] #033[0mBIOS-e820: [mem 0x0-0xfff]",
            "\\x1b[1;32m[    0.000000] \\x1b[0mBIOS-e820: [mem 0x0-0xfff]",
            "[32m[    0.000000] [0m[33mBIOS-e820: [0m[mem 0x0-0xfff][2K\r\r",
            "\r[    0.000000] BIOS-e820: [mem 0x0-0xfff]",
        ] {
            assert_eq!(removed(coloured), "[    0.000000] BIOS-e820: [mem 0x0-0xfff]", "{coloured:?}");
        }
        assert_eq!(removed("x\u{1b}"), "x");
        assert_eq!(removed("\u{1b}µBIOS-e820: x"), "BIOS-e820: x");
    }

    #[test]
    fn other_brackets_stay() {
        for text in ["[mem 0x0-0xfff]", "[    0.000000] x", "[12] m", "[1", "[", "[m", "a[3]m"] {
            assert_eq!(removed(text), text);
        }
    }
}
