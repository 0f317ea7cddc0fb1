//! Bytes to text: UTF-8, or UTF-16 with its mark.
//!
//! # Invariants
//!
//! 1. Text is UTF-16 if it begins with the mark of UTF-16, or if nearly every second byte is zero, as in a file whose
//!    mark was lost; otherwise it is UTF-8.
//! 2. What is no text becomes replacement characters, and the lines with some are named.

use std::borrow::Cow;

/// The text, and the numbers of the lines that had bytes which are no text.
pub(crate) fn decoded(bytes: &[u8]) -> (Cow<'_, str>, Vec<usize>) {
    match order_of(bytes) {
        Some(order) => {
            let text = wide(bytes, order);
            let broken = text.lines().zip(1..).filter(|(line, _)| line.contains('\u{fffd}'));
            let broken = broken.map(|(_, number)| number).collect();
            (Cow::Owned(text), broken)
        }
        None => {
            let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
            let broken = lines.filter(|(line, _)| std::str::from_utf8(line).is_err());
            (String::from_utf8_lossy(bytes), broken.map(|(_, number)| number).collect())
        }
    }
}

/// The order of the bytes of a 16-bit unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// The order if the bytes are UTF-16.
fn order_of(bytes: &[u8]) -> Option<Order> {
    match bytes {
        [0xff, 0xfe, ..] => return Some(Order::Little),
        [0xfe, 0xff, ..] => return Some(Order::Big),
        _ => {}
    }
    let sample = bytes.get(..bytes.len().min(4096)).unwrap_or(bytes);
    let pairs = sample.len() / 2;
    let zeros = |place: usize| sample.iter().skip(place).step_by(2).filter(|byte| **byte == 0).count();
    let mostly =
        |place: usize| pairs >= 16 && zeros(place) * 10 >= pairs * 9 && zeros(1 - place) * 10 <= pairs;
    if mostly(1) { Some(Order::Little) } else { mostly(0).then_some(Order::Big) }
}

/// The text of UTF-16.
fn wide(bytes: &[u8], order: Order) -> String {
    let unit = |pair: &[u8]| match (pair, order) {
        ([low, high], Order::Little) => u16::from_le_bytes([*low, *high]),
        ([high, low], Order::Big) => u16::from_be_bytes([*high, *low]),
        // Half a unit at the end.
        _ => 0xfffd,
    };
    let units = bytes.chunks(2).map(unit);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "BIOS-e820: [mem 0x0-0xfff] usable\nnext\n";

    fn wide_bytes(text: &str, order: Order) -> Vec<u8> {
        let bytes = |unit: u16| match order {
            Order::Little => unit.to_le_bytes(),
            Order::Big => unit.to_be_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn both_orders_are_known_with_and_without_their_mark() {
        for order in [Order::Little, Order::Big] {
            for mark in ["", "\u{feff}"] {
                let bytes = wide_bytes(&format!("{mark}{TEXT}"), order);
                let (text, broken) = decoded(&bytes);
                assert_eq!(text.trim_start_matches('\u{feff}'), TEXT);
                assert!(broken.is_empty());
            }
        }
    }

    #[test]
    fn broken_text_is_named_by_its_line() {
        assert_eq!(decoded(b"a\n\xff\n").1, [2]);
        let mut bytes = wide_bytes("\u{feff}a\n", Order::Little);
        bytes.extend([0, 0xd8, b'\n', 0]);
        assert_eq!(decoded(&bytes).1, [2]);
        assert_eq!(decoded(TEXT.as_bytes()), (TEXT.into(), Vec::new()));
    }
}
