//! Takes a mail's quoted-printable encoding off a text: `=3D` for an equals sign, and lines that end in one go on.
//!
//! # Invariants
//!
//! 1. A text is encoded only if it has an encoded equals sign or space: an equals sign alone is one of a command line's.
//! 2. A line that was put together has the number of its first part.

use std::borrow::Cow;

use super::TextLine;

/// The lines of a text as they were before a mail program encoded them.
pub(super) fn lines(text: &str) -> Vec<TextLine<'_>> {
    let numbered = text.lines().map(|line| line.trim_end_matches('\r')).zip(1..);
    if !numbered.clone().any(|(line, _)| is_encoded(line)) {
        return numbered.map(|(line, number)| TextLine { number, text: Cow::Borrowed(line) }).collect();
    }
    let mut lines: Vec<TextLine<'_>> = Vec::new();
    let mut goes_on = false;
    for (line, number) in numbered {
        let part = line.strip_suffix('=').unwrap_or(line);
        // A line's own end may be encoded, before that of the encoding.
        let ended = part.strip_suffix("=0A").map(|part| part.strip_suffix("=0D").unwrap_or(part));
        let (part, line) = ended.map_or((part, line), |part| (part, part));
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.text.to_mut().push_str(part),
            None => lines.push(TextLine { number, text: Cow::Borrowed(part) }),
        }
        goes_on = part.len() < line.len();
    }
    for line in &mut lines {
        if line.text.contains('=') {
            line.text = Cow::Owned(decoded(&line.text));
        }
    }
    lines
}

/// True for what every encoded mail with a log in it has: equals signs, spaces that do not break, spaces at the end.
fn is_encoded(line: &str) -> bool {
    line.contains("=3D") || line.contains("=A0") || line.ends_with("=20")
}

/// A line with the bytes that stand for `=XX`.
fn decoded(line: &str) -> String {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(byte) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'=');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    // Bytes that are not UTF-8 are those of the mail's own set of characters, of which a log has spaces only.
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

/// The byte of two digits. Mail programs write capital letters. A line has no byte that ends one.
fn byte(digits: &str) -> Option<u8> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    let byte = digits.bytes().all(is_digit).then(|| u8::from_str_radix(digits, 16).ok()).flatten()?;
    (!matches!(byte, b'\n' | b'\r')).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String)> {
        lines(text).into_iter().map(|line| (line.number, line.text.into_owned())).collect()
    }

    #[test]
    fn an_encoded_mail_is_read_as_it_was_written() {
        let text = "[ =C2=A0 =C2=A00.0] a [mem =\n0x1] usab=\r\nle\nroot=3D/dev/sda=20\nx=zz=0A=\ny=0D=0A=\n";
        let expected =
            [(1, "[ \u{a0} \u{a0}0.0] a [mem 0x1] usable"), (4, "root=/dev/sda "), (5, "x=zz"), (6, "y")];
        assert_eq!(read(text), expected.map(|(number, text)| (number, text.to_owned())));
    }

    #[test]
    fn a_log_with_equals_signs_is_no_mail() {
        let text = "Command line: root=UUID=AB12 BOOT_IMAGE=\nnext\n";
        assert_eq!(read(text).len(), 2);
        assert_eq!(read(text)[0].1, "Command line: root=UUID=AB12 BOOT_IMAGE=");
        assert_eq!(decoded("a=0Ab==E4"), "a=0Ab=\u{e4}");
    }
}
