//! Makes plain lines of text, whatever a file or a terminal wrapped them in.
//!
//! # Invariants
//!
//! 1. Every line keeps its number in the text as it was given, also where it came out of a record.
//! 2. Only wrapping is taken off here: bytes of UTF-16, colours, JSON, the records of `/dev/kmsg`, what web pages and mail
//!    programs make of a text. What loggers write before a message is the business of `line.rs`.

mod colours;
mod decode;
mod json;
mod markup;
mod quoted;

use std::borrow::Cow;

pub(crate) use decode::decoded;

use json::Unpacker;

/// A line of text with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextLine<'a> {
    /// Counted from 1, in the text as it was given.
    pub(crate) number: usize,
    /// The line, without wrapping.
    pub(crate) text: Cow<'a, str>,
}

/// The lines of a text, and how many it had before they were unwrapped.
pub(crate) fn lines(text: &str) -> (Vec<TextLine<'_>>, usize) {
    let mut unpacker = Unpacker::default();
    let mut lines = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for TextLine { number, text } in quoted::lines(text) {
        let text = match text {
            Cow::Borrowed(text) => colours::removed(text),
            Cow::Owned(text) => Cow::Owned(colours::removed(&text).into_owned()),
        };
        let text = markup::removed(text);
        match unpacker.unpack(number, &text) {
            Some(unpacked) => lines.extend(unpacked),
            None => lines.push(TextLine { number, text: of_record(text) }),
        }
    }
    lines.extend(unpacker.finish());
    (lines, text.lines().count())
}

/// The message of a record of `/dev/kmsg`, `6,339,5140900,-;NET: ..`, or the line as it is.
fn of_record(line: Cow<'_, str>) -> Cow<'_, str> {
    let head = line.split_once(';').map(|(head, _)| head).filter(|head| is_record_head(head));
    let Some(head) = head.map(str::len) else { return line };
    match line {
        Cow::Borrowed(line) => Cow::Borrowed(line.get(head + 1..).unwrap_or_default()),
        Cow::Owned(line) => Cow::Owned(line.get(head + 1..).unwrap_or_default().to_owned()),
    }
}

/// True for priority, sequence number, time and flags: three numbers and a word, with commas between them.
fn is_record_head(head: &str) -> bool {
    let mut fields = head.split(',');
    let numbers = fields.by_ref().take(3).filter(|field| is_number(field)).count();
    numbers == 3 && fields.next().is_some_and(|flags| flags.len() == 1)
}

/// True for digits only.
fn is_number(field: &str) -> bool {
    !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        lines(text).0.into_iter().map(|line| (line.number, line.text.into_owned())).collect()
    }

    #[test]
    fn records_of_the_kernel_are_opened() {
        let text = "6,1,0,-;BIOS-e820: x; y\n SUBSYSTEM=acpi\n4,2,0,c,caller=T1;z\n6,1;x\n";
        let expected = ["BIOS-e820: x; y", " SUBSYSTEM=acpi", "z", "6,1;x"];
        assert_eq!(texts(text).into_iter().map(|line| line.1).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn messages_in_json_keep_their_line_numbers() {
        let text = "{\n \"dmesg\": [ {\n \"pri\": 6,\n \"msg\": \"a \\\"b\\\"\"\n } ]\n}\nplain\n";
        let found = texts(text);
        assert!(found.contains(&(4, "a \"b\"".into())), "{found:?}");
        assert_eq!(found.last(), Some(&(7, "plain".into())));
    }
}
