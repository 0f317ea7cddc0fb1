//! Messages and rows out of JSON: `dmesg --json`, `journalctl -o json`, logs of containers, `lsmem -J`.
//!
//! # Invariants
//!
//! 1. The layout of the JSON does not matter: objects may stand on one line or on many. A value and its key stand on
//!    one line, as all known writers have it.
//! 2. A line that has no key of JSON is no JSON, whatever it begins with.

use std::borrow::Cow;

use super::TextLine;

/// Keys whose value is a message.
const MESSAGES: [&str; 5] = ["msg", "MESSAGE", "message", "log", "textPayload"];
/// The keys of a row of `lsmem -J`, and the names of their columns.
const COLUMNS: [(&str, &str); 6] = [
    ("range", "RANGE"),
    ("size", "SIZE"),
    ("state", "STATE"),
    ("removable", "REMOVABLE"),
    ("block", "BLOCK"),
    ("node", "NODE"),
];

/// Takes lines out of JSON.
#[derive(Default)]
pub(super) struct Unpacker {
    /// The row of `lsmem -J` that is not complete yet.
    row: Option<TextLine<'static>>,
}

impl Unpacker {
    /// The messages and rows that end on a line of JSON; `None` if the line is none.
    pub(super) fn unpack(&mut self, number: usize, line: &str) -> Option<Vec<TextLine<'static>>> {
        if !may_be_json(line.trim()) {
            return None;
        }
        let members = members(line);
        if members.is_empty() {
            return None;
        }
        let mut lines = Vec::new();
        for (key, value) in members {
            if MESSAGES.contains(&key.as_str()) {
                let text = |text: &str| TextLine { number, text: Cow::Owned(text.to_owned()) };
                lines.extend(value.lines().map(text));
            } else if let Some((_, column)) = COLUMNS.iter().find(|(known, _)| *known == key) {
                lines.extend(self.cell(number, column, &value));
            }
        }
        Some(lines)
    }

    /// The row that is left at the end.
    pub(super) fn finish(&mut self) -> Option<TextLine<'static>> {
        self.row.take()
    }

    /// Adds a cell to the row; the row before it, if the cell begins one.
    fn cell(&mut self, number: usize, column: &str, value: &str) -> Option<TextLine<'static>> {
        let cell = format!("{column}=\"{value}\"");
        if column == "RANGE" {
            return self.row.replace(TextLine { number, text: Cow::Owned(cell) });
        }
        if let Some(row) = &mut self.row {
            row.text.to_mut().push(' ');
            row.text.to_mut().push_str(&cell);
        }
        None
    }
}

/// True if a line begins as one of JSON may, also as an element of a list in YAML. A bracket alone does not: time stamps
/// have them.
fn may_be_json(line: &str) -> bool {
    if line.strip_prefix("- ").is_some_and(|rest| rest.trim_start().starts_with('{')) {
        return true;
    }
    match line.strip_prefix('[') {
        Some(rest) => rest.trim_start().starts_with('{'),
        None => line.starts_with(['{', '"', '}', ',']),
    }
}

/// The keys of a line with their values; a value that is no string is as written.
fn members(line: &str) -> Vec<(String, String)> {
    let mut members = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('"') {
        let Some((key, after)) = string(after) else { break };
        let Some(value) = after.trim_start().strip_prefix(':') else {
            rest = after;
            continue;
        };
        let value = value.trim_start();
        rest = match value.strip_prefix('"').map(string) {
            Some(Some((value, after))) => {
                members.push((key, value));
                after
            }
            Some(None) => break,
            // The members of what is inside are members of the line.
            None if value.starts_with(['[', '{']) => value.get(1..).unwrap_or_default(),
            None => {
                let end = value.find([',', '}', ']']).unwrap_or(value.len());
                let (bare, after) = value.split_at(end);
                if is_bare_value(bare) {
                    members.push((key, bare.trim().to_owned()));
                }
                after
            }
        };
    }
    members
}

/// True for what a value may be that is no string: a number, a word of JSON, or nothing, if it stands on the next line.
fn is_bare_value(value: &str) -> bool {
    let value = value.trim();
    value.is_empty()
        || matches!(value, "true" | "false" | "null")
        || value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// The string that ends at the next quotation mark, and the text after it.
fn string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => {}
                'u' => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    value.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(text: &str) -> Vec<(usize, String)> {
        let mut unpacker = Unpacker::default();
        let mut lines: Vec<TextLine<'static>> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            lines.extend(unpacker.unpack(number, line).unwrap_or_default());
        }
        lines.extend(unpacker.finish());
        lines.into_iter().map(|line| (line.number, line.text.into_owned())).collect()
    }

    #[test]
    fn messages_are_found_in_any_layout() {
        let row = [(1, "BIOS-e820: [mem 0x0-0xfff] usable".to_owned())];
        for text in [
            r#"      "msg": "BIOS-e820: [mem 0x0-0xfff] usable""#,
            r#"{"dmesg":[{"pri":6,"time":0.000000,"msg":"BIOS-e820: [mem 0x0-0xfff] usable"}]}"#,
            r#"{"log":"BIOS-e820: [mem 0x0-0xfff] usable\n","stream":"stdout"}"#,
            r#"{"PRIORITY":"6","MESSAGE":"BIOS-e820: [mem 0x0-0xfff] usable","_PID":"1"}"#,
            r#"- {"dt": "2024-05-06T07:08:09.1", "lvl": "target", "msg": "BIOS-e820: [mem 0x0-0xfff] usable"}"#,
        ] {
            assert_eq!(unpacked(text), row, "{text}");
        }
    }

    #[test]
    fn rows_of_lsmem_are_put_together() {
        let text = "{\n\"memory\": [\n{\"range\":\"0x0-0xfff\", \"size\":\"4K\"},\n{\n\"range\": \"0x2000-0x2fff\",\n\"removable\": true\n}\n";
        let rows = unpacked(text);
        assert_eq!(rows[0], (3, "RANGE=\"0x0-0xfff\" SIZE=\"4K\"".into()));
        assert_eq!(rows[1], (5, "RANGE=\"0x2000-0x2fff\" REMOVABLE=\"true\"".into()));
        let text =
            r#"{"memory": [{"range":"0x0-0xfff","state":"online"},{"range":"0x2000-0x2fff","node":1}]}"#;
        let expected = [r#"RANGE="0x0-0xfff" STATE="online""#, r#"RANGE="0x2000-0x2fff" NODE="1""#];
        assert_eq!(unpacked(text), expected.map(|row| (1, row.to_owned())));
    }

    #[test]
    fn other_lines_are_left_alone() {
        for text in ["[    0.000000] x", "\"BIOS-e820: x\",", "plain", "{", "} ]", "[mem 0x0-0xfff]"] {
            assert_eq!(Unpacker::default().unpack(1, text), None, "{text}");
        }
    }
}
