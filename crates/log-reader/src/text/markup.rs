//! Takes off what web pages, forums, mail programs and editors make of a line: tags, entities, typographic characters.
//!
//! # Invariants
//!
//! 1. A tag begins with a letter or a slash, so that priorities (`<6>`), arrows and `<    0.000000>` stay.
//! 2. A forum's tag is one of those on a list here: messages of a kernel have brackets of their own.
//! 3. A line without such characters is left as it is.

use std::borrow::Cow;

/// Entities, and the characters that they stand for. The ampersand comes last, so that nothing is decoded twice.
const ENTITIES: [(&str, &str); 9] = [
    ("&nbsp;", " "),
    ("&#160;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#34;", "\""),
    ("&#39;", "'"),
    ("&apos;", "'"),
    ("&amp;", "&"),
];

/// Names of a forum's tags.
const FORUM: [&str; 16] = [
    "b", "i", "u", "s", "color", "font", "size", "code", "quote", "pre", "spoiler", "noparse", "left",
    "center", "indent", "list",
];

/// A line as its writer typed it.
pub(super) fn removed(line: Cow<'_, str>) -> Cow<'_, str> {
    let mut line = line;
    if !line.is_ascii() {
        line = Cow::Owned(line.chars().filter_map(plain).collect());
    }
    if line.contains('<') && line.contains('>') {
        line = Cow::Owned(without_tags(&line));
    }
    if line.match_indices('[').any(|(at, _)| forum_tag(line.get(at + 1..).unwrap_or_default()).is_some()) {
        line = Cow::Owned(without_forum_tags(&line));
    }
    if line.contains('&') {
        line = Cow::Owned(ENTITIES.iter().fold(line.into_owned(), |line, (from, to)| line.replace(from, to)));
    }
    line
}

/// The plain character for a typographic one; `None` if nothing is printed for it.
fn plain(c: char) -> Option<char> {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{ff0d}' => Some('-'),
        '\u{2018}'..='\u{201b}' => Some('\''),
        '\u{201c}'..='\u{201f}' => Some('"'),
        c if c.is_whitespace() && !c.is_ascii() => Some(' '),
        c => Some(c),
    }
}

/// A line without tags.
fn without_tags(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let is_tag = after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        match after.split_once('>').filter(|(tag, _)| is_tag && !tag.contains('<')) {
            Some((_, after)) => rest = after,
            None => {
                text.push('<');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// The text after a forum's tag, `COLOR=#000000]` or `/B]`.
fn forum_tag(text: &str) -> Option<&str> {
    let (tag, rest) = text.split_once(']')?;
    let name = tag.strip_prefix('/').unwrap_or(tag).split('=').next()?;
    FORUM.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(rest)
}

/// A line without a forum's tags.
fn without_forum_tags(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        rest = forum_tag(after).unwrap_or_else(|| {
            text.push('[');
            after
        });
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_adds_is_taken_off() {
        let plain = "[    0.000000] e820: update [mem 0x0-0xfff] usable ==> reserved";
        for text in [
            "[CODE][    0.000000] e820: [B]update[/B] [mem 0x0-[/FONT][COLOR=#00f][FONT=arial]0xfff] usable ==> reserved[/code]",
            "<p>[    0.000000] e820: update [mem 0x0-0xfff] usable ==&gt; reserved</p>",
            "<span class=\"x\">[    0.000000] </span>e820: update [mem 0x0-0xfff] usable ==> reserved<br />",
            "[&nbsp;&nbsp;&nbsp;&nbsp;0.000000] e820: update [mem 0x0-0xfff] usable ==&gt; reserved",
            "[\u{a0}\u{a0}\u{a0}\u{a0}0.000000]\u{a0}e820: update [mem 0x0\u{2013}0xfff] usable ==> reserved\u{200b}",
        ] {
            assert_eq!(removed(text.into()), plain);
        }
    }

    #[test]
    fn other_angles_and_ampersands_stay() {
        for text in [
            "<6>[    0.000000] x",
            "[    0.000000 <    0.000000>] x",
            "0 -> 256 < 3",
            "a & b",
            "<a",
            "[mem 0x0-0xfff]",
            "[b x]",
            "[",
        ] {
            assert_eq!(removed(text.into()), text);
        }
        assert_eq!(removed("&amp;lt;".into()), "&lt;");
    }
}
