//! Finds the kernel's message in a line, behind whatever loggers put before it.
//!
//! # Invariants
//!
//! 1. Known prefixes are taken off first, one after the other and in any order: time stamps of every kind in brackets,
//!    caller ids (`[    T0]`), priorities (`<6>`), syslog and journald headers up to `kernel:`, the facility of
//!    `dmesg -x`, ISO 8601 stamps, mail quotes, and the quotation marks of an array in a test file.
//! 2. No list of prefixes is complete. If the rest is no message that a notation knows, it may begin at any later word
//!    ([`Line::later`]): the first beginning that a notation knows counts.
//! 3. What stands behind a message is taken off only at the end of the line ([`without_suffix`]).
//! 4. `(XEN)` marks a message of the hypervisor; [`Line::by_xen`] keeps it.

/// One line of the input, prepared for the readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The line as it stands in the text; empty if the message was found at a later word.
    pub(crate) raw: &'a str,
    /// The message, without prefixes and without white space around it.
    pub(crate) message: &'a str,
    /// True if the message is the Xen hypervisor's.
    pub(crate) by_xen: bool,
}

/// Most words of a line at which a message is looked for. Prefixes are shorter than that.
const WORDS: usize = 40;

impl<'a> Line<'a> {
    /// Takes the known prefixes off a line.
    pub(crate) fn new(raw: &'a str) -> Self {
        let mut line = Self { raw, message: unquoted(without_suffix(raw)), by_xen: false };
        loop {
            let shorter = match line.message.strip_prefix("(XEN)") {
                Some(rest) => {
                    line.by_xen = true;
                    rest.trim_start()
                }
                None => without_one_prefix(line.message),
            };
            if shorter.len() == line.message.len() {
                return line;
            }
            line.message = shorter;
        }
    }

    /// The line as it is, then with its message beginning at each later word.
    pub(crate) fn beginnings(self) -> impl Iterator<Item = Self> {
        std::iter::once(self).chain(self.later())
    }

    /// The line, with its message beginning at each later word.
    pub(crate) fn later(self) -> impl Iterator<Item = Self> {
        let message = self.message;
        let starts = message
            .char_indices()
            .zip(message.chars().skip(1))
            .filter(|((_, c), next)| !c.is_ascii_alphanumeric() && !next.is_whitespace() && *c != '_');
        let starts = starts.map(|((at, c), _)| at + c.len_utf8());
        starts.take(WORDS).filter_map(move |at| {
            let by_xen = self.by_xen || message.get(..at)?.contains("(XEN)");
            let message = message.get(at..)?;
            Some(Self { raw: "", message, by_xen })
        })
    }

    /// The sign with which a comparison of two texts marks the line, if there is one.
    pub(crate) fn sign(&self) -> Option<char> {
        let mut chars = self.raw.chars();
        let sign = chars.next().filter(|sign| matches!(sign, '-' | '+'))?;
        (!chars.as_str().starts_with(sign)).then_some(sign)
    }
}

/// The content of a quoted array element.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').unwrap_or(text)
}

/// A line without the white space around it, and without what ends a cell of a table, an element of an array or a string
/// of a program: no message of memory ends with one of these characters.
pub(crate) fn without_suffix(text: &str) -> &str {
    const ENDS: [char; 7] = ['"', ',', '\'', '`', '|', '}', ';'];
    let mut text = text.trim();
    loop {
        let shorter = text.trim_end_matches(ENDS).trim_end();
        let shorter = shorter.strip_suffix("\\n").or_else(|| shorter.strip_suffix("\\r")).unwrap_or(shorter);
        if shorter.len() == text.len() {
            return text;
        }
        text = shorter;
    }
}

/// `text` without its first prefix, or as it is.
fn without_one_prefix(text: &str) -> &str {
    after_mark(text)
        .or_else(|| after_priority(text))
        .or_else(|| after_stamp(text))
        .or_else(|| after_iso_stamp(text))
        .or_else(|| after_facility(text))
        .or_else(|| after_kernel(text))
        .map_or(text, str::trim_start)
}

/// The text after a mail quote.
fn after_mark(text: &str) -> Option<&str> {
    text.strip_prefix('>')
}

/// The text after `<6>`.
fn after_priority(text: &str) -> Option<&str> {
    let (priority, rest) = text.strip_prefix('<')?.split_once('>')?;
    (!priority.is_empty() && priority.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

/// The text after `[    0.000000]`, `[    T0]`, `[Fri Feb 24 09:33:02 2023]`.
fn after_stamp(text: &str) -> Option<&str> {
    let (stamp, rest) = text.strip_prefix('[')?.split_once(']')?;
    (is_seconds(stamp) || is_caller(stamp) || is_date(stamp)).then_some(rest)
}

/// True for a time in seconds, also with the difference to the line before.
fn is_seconds(stamp: &str) -> bool {
    stamp.contains(|c: char| c.is_ascii_digit()) && stamp.chars().all(|c| "0123456789. +<>".contains(c))
}

/// True for a task or processor number.
fn is_caller(stamp: &str) -> bool {
    let id = stamp.trim_start().strip_prefix(['T', 'C']);
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// True for a date that begins with the name of a day or month.
fn is_date(stamp: &str) -> bool {
    const NAMES: [&str; 19] = [
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
        "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    NAMES.iter().any(|name| stamp.trim_start().starts_with(name)) && stamp.contains(':')
}

/// The text after `2023-02-24T09:33:02,123456+00:00`.
fn after_iso_stamp(text: &str) -> Option<&str> {
    let (stamp, rest) = text.split_once(' ')?;
    let bytes = stamp.as_bytes();
    let dashed = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') && bytes.get(10) == Some(&b'T');
    (dashed && bytes.iter().take(4).all(u8::is_ascii_digit)).then_some(rest)
}

/// The text after `kern  :info  :`.
fn after_facility(text: &str) -> Option<&str> {
    let (facility, rest) = text.split_once(':')?;
    let (level, rest) = rest.split_once(':')?;
    let padded =
        |word: &str| word.len() == 6 && word.trim_end().bytes().all(|byte| byte.is_ascii_lowercase());
    (padded(facility) && padded(level)).then_some(rest)
}

/// The text after the `kernel:` of a syslog header, or after a stray one.
fn after_kernel(text: &str) -> Option<&str> {
    let (header, rest) = text.split_once("kernel:")?;
    (!header.contains("[mem") && header.len() <= 80).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_prefix_is_taken_off() {
        let lines = [
            "BIOS-e820: x",
            " BIOS-e820: x",
            "[    0.000000] BIOS-e820: x",
            "[    0.000000][    T0] BIOS-e820: x",
            "[Fri Feb 24 09:33:02 2023] BIOS-e820: x",
            "[Feb24 09:33] BIOS-e820: x",
            "[  +0.000000] BIOS-e820: x",
            "<6>[    0.000000] BIOS-e820: x",
            "Jul 27 14:41:57 host kernel:  BIOS-e820: x",
            "Apr 12 20:30:32 ubuntu kernel: [    0.000000]  BIOS-e820: x",
            "[    0.000000] host kernel: BIOS-e820: x",
            "2023-02-24T09:33:02,123456+00:00 BIOS-e820: x",
            "2026-08-09T08:08:43.080727+00:00 lab kernel: BIOS-e820: x",
            "kern  :info  : [    0.000000] BIOS-e820: x",
            "> > [    0.000000] BIOS-e820: x",
            "  \"BIOS-e820: x\",",
            "\"BIOS-e820: x\\n\"",
            "BIOS-e820: x |",
        ];
        for line in lines {
            assert_eq!(Line::new(line).message, "BIOS-e820: x", "{line}");
        }
    }

    #[test]
    fn address_ranges_are_no_time_stamps() {
        for line in ["[mem 0x0-0x1] usable", "[ffffea0000000000-ffffea0004dfffff] PMD"] {
            assert_eq!(Line::new(line).message, line);
        }
    }

    #[test]
    fn the_hypervisor_is_recognised() {
        let line = Line::new("(XEN) [    0.000000]  [0000000000000000, 000000000009fbff] (usable)");
        assert!(line.by_xen);
        assert_eq!(line.message, "[0000000000000000, 000000000009fbff] (usable)");
    }
}
