//! Puts lines together that a terminal or a mail program wrapped.
//!
//! # Invariants
//!
//! 1. A text is wrapped at its longest line, if several lines have exactly that length. A line of that length goes on in
//!    the next one only if both say something together: the caller checks that.
//! 2. A mail program wraps at a space before its width, so that no length tells; a line may go on if its end is none of a
//!    message. The caller checks this the same way, and leaves lines alone that say something by themselves.

use crate::text::TextLine;

/// Widths at which people's terminals and programs wrap.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=240;
/// Most lines that one line was wrapped into.
const PIECES: usize = 4;

/// The number of characters at which a text may have been wrapped.
pub(crate) struct Width(Option<usize>);

/// Lines that may be one.
#[derive(Clone)]
pub(crate) struct Joined {
    pub(crate) text: String,
    /// The number of further lines in it.
    pub(crate) taken: usize,
}

impl Width {
    /// The width of a text.
    pub(crate) fn of(lines: &[TextLine<'_>]) -> Self {
        let length = |line: &TextLine<'_>| line.text.chars().count();
        let longest = lines.iter().map(length).max().filter(|longest| WIDTHS.contains(longest));
        let is_common = |longest: &usize| lines.iter().filter(|line| length(line) == *longest).count() > 1;
        Self(longest.filter(is_common))
    }

    /// A line with those that it may go on in; `None` if it is not as long as the text is wide.
    pub(crate) fn joined(&self, line: &TextLine<'_>, rest: &[TextLine<'_>]) -> Option<Joined> {
        let width = self.0?;
        let mut joined = Joined { text: line.text.clone().into_owned(), taken: 0 };
        let mut length = line.text.chars().count();
        for next in rest.iter().take(PIECES - 1) {
            if length != width {
                break;
            }
            joined.text.push_str(&next.text);
            joined.taken += 1;
            length = next.text.chars().count();
        }
        (joined.taken > 0).then_some(joined)
    }
}

/// A line with the next ones, without the marks of a quotation, if a mail program may have wrapped it there: shortest first.
pub(crate) fn in_mail(line: &TextLine<'_>, rest: &[TextLine<'_>]) -> impl Iterator<Item = Joined> {
    let mut joined = Joined { text: line.text.trim_end().to_owned(), taken: 0 };
    rest.iter().take(PIECES - 1).map_while(move |next| {
        if !is_open(&joined.text) {
            return None;
        }
        let space = if joined.text.ends_with('-') { "" } else { " " };
        let next = next.text.trim_start_matches([' ', '\t', '>', '|']).trim_end();
        joined = Joined { text: format!("{}{space}{next}", joined.text), taken: joined.taken + 1 };
        Some(joined.clone())
    })
}

/// True for a text that ends inside of brackets or with a sign that joins words.
fn is_open(text: &str) -> bool {
    const SIGNS: [char; 5] = [',', ']', '>', '-', ':'];
    let is_inside = |open: char, close: char| text.matches(open).count() > text.matches(close).count();
    is_inside('[', ']') || is_inside('(', ')') || text.ends_with(SIGNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn lines(texts: &[&str]) -> Vec<TextLine<'static>> {
        let line = |(text, number): (&&str, usize)| TextLine { number, text: Cow::Owned((*text).to_owned()) };
        texts.iter().zip(1..).map(line).collect()
    }

    #[test]
    fn lines_of_full_width_go_on() {
        let full = "x".repeat(80);
        let text = lines(&[&full, "end", &full, &full, "end", "short"]);
        let width = Width::of(&text);
        let joined = |at: usize| {
            width.joined(&text[at], &text[at + 1..]).map(|joined| (joined.text.len(), joined.taken))
        };
        assert_eq!(joined(0), Some((83, 1)));
        assert_eq!(joined(2), Some((163, 2)));
        assert_eq!(joined(4), None);
    }

    #[test]
    fn a_quoted_line_that_is_open_may_go_on() {
        let joined = |one: &str, next: &str| {
            let text = lines(&[one, next]);
            in_mail(&text[0], &text[1..]).next().map(|joined| joined.text)
        };
        assert_eq!(joined("> a: [mem", "> > 0x0-0xfff] usable"), Some("> a: [mem 0x0-0xfff] usable".into()));
        assert_eq!(joined("a: [mem 0x0-", "  0xfff] usable"), Some("a: [mem 0x0-0xfff] usable".into()));
        assert_eq!(joined("cluster 0, usage 1, ", "start 0"), Some("cluster 0, usage 1, start 0".into()));
        assert_eq!(joined("a: [mem 0x0-0xfff] usable", "more"), None);
    }

    #[test]
    fn one_long_line_is_no_width() {
        let text = lines(&[&"x".repeat(80), "end"]);
        assert!(Width::of(&text).joined(&text[0], &text[1..]).is_none());
        let short = lines(&["x", "y"]);
        assert!(Width::of(&short).joined(&short[0], &short[1..]).is_none());
    }
}
