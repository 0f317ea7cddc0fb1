//! Numbers as logs print them.
//!
//! # Invariants
//!
//! 1. Nothing but digits is accepted (no sign, no separators), and a number that does not fit is an error.

use crate::Reason;
use crate::error::shortened;

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

/// The number of those digits; `shown` is what an error repeats.
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
