//! Puts lines together that a terminal or a mail program wrapped.
//!
//! # Invariants
//!
//! 1. A text is wrapped at its longest line, if several lines have exactly that length. A line of that length goes on in
//!    the next one only if both say something together: the caller checks that.

use crate::text::TextLine;

/// Widths at which people's terminals and programs wrap.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=240;
/// Most lines that one line was wrapped into.
const PIECES: usize = 4;

/// The number of characters at which a text may have been wrapped.
pub(crate) struct Width(Option<usize>);

/// Lines that may be one.
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
    fn one_long_line_is_no_width() {
        let text = lines(&[&"x".repeat(80), "end"]);
        assert!(Width::of(&text).joined(&text[0], &text[1..]).is_none());
        let short = lines(&["x", "y"]);
        assert!(Width::of(&short).joined(&short[0], &short[1..]).is_none());
    }
}
