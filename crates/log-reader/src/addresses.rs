//! Numbers and address ranges, in every form that logs print.
//!
//! | notation | end |
//! |---|---|
//! | `[mem A-B]`, `A-B` of iomem | included |
//! | `[A, B]` of Xen | included |
//! | `A - B` of old kernels | not included |
//! | `SIZE @ START` | - |
//! | `[0xA-0xB)` of EFI, `[A,B)` of old NUMA lines | not included |
//!
//! # Invariants
//!
//! 1. A half-open range cannot hold the last byte of a 64-bit address space. A range that includes it ends one byte
//!    earlier instead: no arithmetic wraps to zero. An end that is not included and was printed as zero had wrapped.
//! 2. An included end one below the start is how a kernel prints a length of zero: it gives an empty range.
//! 3. A number is digits and nothing else (no sign, no separators), and one that does not fit is an error.

use sparsemem_core::{PhysAddr, PhysRange};

use crate::Reason;
use crate::error::shortened;

/// The range whose last byte is at `end`.
pub(crate) fn inclusive(start: u64, end: u64) -> Result<PhysRange, Reason> {
    match end.checked_add(1) {
        Some(end) if end >= start => exclusive(start, end),
        Some(_) => Err(Reason::Reversed { start, end }),
        None => exclusive(start, end),
    }
}

/// The range up to, not including, `end`.
pub(crate) fn exclusive(start: u64, end: u64) -> Result<PhysRange, Reason> {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).map_err(|_| Reason::Reversed { start, end })
}

/// The range up to, not including, an `end` that the kernel computed in 64 bits: zero after a start that is not zero is
/// the end of the address space.
pub(crate) fn up_to(start: u64, end: u64) -> Result<PhysRange, Reason> {
    exclusive(start, if end == 0 && start > 0 { u64::MAX } else { end })
}

/// The range of `count` units of `unit` bytes from unit `first` on.
pub(crate) fn units(first: u64, count: u64, unit: u64) -> Result<PhysRange, Reason> {
    let bytes = |units: u64| units.checked_mul(unit);
    let end = bytes(first).zip(bytes(count)).and_then(|(start, len)| Some((start, start.checked_add(len)?)));
    let (start, end) = end.ok_or(Reason::Overflow { start: first, count })?;
    exclusive(start, end)
}

/// The range between two addresses known to be in order; empty if they are not.
pub(crate) fn between(start: u64, end: u64) -> PhysRange {
    exclusive(start, end).unwrap_or(PhysRange::empty_at(PhysAddr::new(start)))
}

/// True if the range is the whole address space, which firmware names when it knows no range.
pub(crate) fn is_everything(range: PhysRange) -> bool {
    range.start().get() == 0 && range.end().get() == u64::MAX
}

/// Two hexadecimal numbers with `separator` between them.
pub(crate) fn pair(text: &str, separator: &str) -> Result<(u64, u64), Reason> {
    let (first, second) = text.split_once(separator).ok_or(Reason::NoRange)?;
    Ok((hex(first)?, hex(second)?))
}

/// Two hexadecimal numbers with `separator` between them, which were printed with equally many digits.
pub(crate) fn even_pair(text: &str, separator: &str) -> Result<(u64, u64), Reason> {
    let (first, second) = text.split_once(separator).ok_or(Reason::NoRange)?;
    let (first, second) = (first.trim(), second.trim());
    let numbers = (hex(first)?, hex(second)?);
    if first.len() == second.len() {
        return Ok(numbers);
    }
    let shorter = if first.len() < second.len() { first } else { second };
    Err(Reason::Lengths { digits: shortened(shorter) })
}

/// Reads `[mem A-B]` at the start of `text`; gives the range and the text after it.
pub(crate) fn mem(text: &str) -> Result<(PhysRange, &str), Reason> {
    let (inner, rest) = text
        .trim_start()
        .strip_prefix("[mem")
        .ok_or(Reason::NoRange)?
        .split_once(']')
        .ok_or(Reason::NoRange)?;
    let (start, end) = pair(inner, "-")?;
    Ok((inclusive(start, end)?, rest))
}

/// Reads a range of an e820-style line in any notation; gives it and the text after it.
pub(crate) fn of_table(text: &str) -> Result<(PhysRange, &str), Reason> {
    let text = text.trim_start();
    if text.starts_with("[mem") {
        return mem(text);
    }
    if let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let (start, end) = pair(inner, ",")?;
        return Ok((inclusive(start, end)?, rest));
    }
    spaced(text)
}

/// Reads `A - B` or `SIZE @ START`.
fn spaced(text: &str) -> Result<(PhysRange, &str), Reason> {
    let (first, rest) = text.split_once(char::is_whitespace).ok_or(Reason::NoRange)?;
    let rest = rest.trim_start();
    let sign = rest.chars().next().filter(|sign| "-@".contains(*sign)).ok_or(Reason::NoRange)?;
    let rest = rest[sign.len_utf8()..].trim_start();
    let cut = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (first, second) = (hex(first)?, hex(&rest[..cut])?);
    let range = if sign == '-' { up_to(first, second)? } else { units(second, first, 1)? };
    Ok((range, &rest[cut..]))
}

/// True if `text` begins like a range, well-formed or not. Some tags are ordinary words; a line with such a tag is a
/// memory line only if this is true of the text after it.
pub(crate) fn looks_like_one(text: &str) -> bool {
    let text = text.trim_start();
    match text.strip_prefix('[') {
        Some(inner) => {
            let is_one = |first: &str| is_like_address(first) && !first.contains([']', '[', ' ']);
            inner.starts_with("mem ") || inner.split_once(", ").is_some_and(|(first, _)| is_one(first))
        }
        None => {
            let mut words = text.split_whitespace();
            words.next().is_some_and(is_like_address) && matches!(words.next(), Some("-" | "@"))
        }
    }
}

/// True if a word is as long as an address and begins like one.
fn is_like_address(word: &str) -> bool {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let starts = digits.starts_with(|c: char| c.is_ascii_digit());
    digits.len() >= 8 && (starts || digits.chars().all(|c| c.is_ascii_hexdigit()))
}

/// A hexadecimal number, with or without `0x`.
pub(crate) fn hex(text: &str) -> Result<u64, Reason> {
    let text = text.trim();
    digits(text, text.strip_prefix("0x").unwrap_or(text), 16)
}

/// A decimal number.
pub(crate) fn decimal(text: &str) -> Result<u64, Reason> {
    digits(text.trim(), text.trim(), 10)
}

/// A decimal number of 32 bits, for nodes.
pub(crate) fn decimal32(text: &str) -> Result<u32, Reason> {
    u32::try_from(decimal(text)?).map_err(|_| Reason::NumberTooLarge { digits: shortened(text) })
}

/// The number of those digits; an error repeats `shown`.
fn digits(shown: &str, digits: &str, radix: u32) -> Result<u64, Reason> {
    if digits.is_empty() {
        return Err(Reason::NoNumber);
    }
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(Reason::BadNumber { digits: shortened(shown) });
    }
    u64::from_str_radix(digits, radix).map_err(|_| Reason::NumberTooLarge { digits: shortened(shown) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        exclusive(start, end).unwrap()
    }

    #[test]
    fn every_notation_gives_the_same_range() {
        let texts = [
            "[mem 0x0000000000001000-0x0000000000001fff] usable",
            "[0000000000001000, 0000000000001fff] usable",
            "0000000000001000 - 0000000000002000 usable",
            "0000000000001000 @ 0000000000001000 usable",
        ];
        for text in texts {
            assert!(looks_like_one(text), "{text}");
            assert_eq!(of_table(text), Ok((range(0x1000, 0x2000), " usable")), "{text}");
        }
    }

    #[test]
    fn the_last_byte_is_left_out_and_nothing_wraps() {
        assert_eq!(inclusive(0, u64::MAX), Ok(range(0, u64::MAX)));
        assert!(is_everything(range(0, u64::MAX)));
        let old = "fffffffffffff000 - 0000000000000000 (reserved)";
        assert_eq!(of_table(old), Ok((range(0xffff_ffff_ffff_f000, u64::MAX), " (reserved)")));
        assert_eq!(up_to(0, 0), Ok(range(0, 0)));
        assert_eq!(up_to(2, 1), Err(Reason::Reversed { start: 2, end: 1 }));
        assert_eq!(units(1, u64::MAX, 1), Err(Reason::Overflow { start: 1, count: u64::MAX }));
        assert_eq!(units(u64::MAX, 1, 4096), Err(Reason::Overflow { start: u64::MAX, count: 1 }));
    }

    #[test]
    fn a_length_of_zero_is_an_empty_range_and_less_is_reversed() {
        assert_eq!(inclusive(0x1000, 0xfff), Ok(range(0x1000, 0x1000)));
        assert_eq!(inclusive(0x1000, 0xffe), Err(Reason::Reversed { start: 0x1000, end: 0xffe }));
        assert_eq!(exclusive(2, 1), Err(Reason::Reversed { start: 2, end: 1 }));
    }

    #[test]
    fn words_are_no_ranges() {
        for text in ["using vcpuop timer interface", "[VT-D] iommu", "add - remove", "", "["] {
            assert!(!looks_like_one(text) || of_table(text).is_err(), "{text}");
        }
        for text in ["using vcpuop timer interface", "ACPI - tables", "Decoding - done", "[AMD-Vi, x]"] {
            assert!(!looks_like_one(text), "{text}");
        }
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(hex(" 0x0009fbff "), Ok(0x9fbff));
        assert_eq!(hex("ffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(hex("0x"), Err(Reason::NoNumber));
        assert_eq!(hex("+10"), Err(Reason::BadNumber { digits: "+10".into() }));
        assert_eq!(
            hex("10000000000000000"),
            Err(Reason::NumberTooLarge { digits: "10000000000000000".into() })
        );
        assert_eq!(decimal("12a"), Err(Reason::BadNumber { digits: "12a".into() }));
        assert_eq!(decimal32("4294967296"), Err(Reason::NumberTooLarge { digits: "4294967296".into() }));
    }
}
