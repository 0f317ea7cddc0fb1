//! Numbers as people read them.

/// The binary units, largest first: name and bits.
const UNITS: [(&str, u32); 6] =
    [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// A number of bytes in the largest unit that it fills, with about three digits.
#[must_use]
pub fn bytes(count: u64) -> String {
    match UNITS.into_iter().find(|(_, bits)| count >> bits > 0) {
        None => format!("{count} B"),
        Some((unit, bits)) => format!("{} {unit}", three_digits(count, bits)),
    }
}

/// `count / 2^bits`, rounded to a hundredth below 10, to a tenth below 100, and to one above.
fn three_digits(count: u64, bits: u32) -> String {
    let whole = count >> bits;
    let scale = match whole {
        0..10 => 100,
        10..100 => 10,
        _ => 1,
    };
    let half = 1u128 << (bits - 1);
    let scaled = (u128::from(count) * scale + half) >> bits;
    let (whole, part) = (scaled / scale, scaled % scale);
    match scale {
        _ if part == 0 => whole.to_string(),
        100 => format!("{whole}.{part:02}").trim_end_matches('0').to_owned(),
        _ => format!("{whole}.{part}"),
    }
}

/// `part` of `whole` in per cent, or a dash if there is no whole.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let hundredths = (u128::from(part) * 10_000 + u128::from(whole) / 2) / u128::from(whole);
    match hundredths {
        0 if part > 0 => "< 0.01 %".to_owned(),
        _ => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    }
}

/// `1 thing`, `2 things`.
#[must_use]
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{bytes, counted, share};

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        let shown = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (640 << 10, "640 KiB"),
            ((8 << 20) + (1 << 19), "8.5 MiB"),
            (1_342_177_280, "1.25 GiB"),
            ((127 << 20) + (1 << 19), "128 MiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (count, text) in shown {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!(share(1, 64), "1.56 %");
        assert_eq!(share(0, 64), "0.00 %");
        assert_eq!(share(1, 1 << 40), "< 0.01 %");
        assert_eq!(share(3, 2), "150.00 %");
        assert_eq!(share(1, 0), "-");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((counted(1, "cell"), counted(0, "cell")), ("1 cell".to_owned(), "0 cells".to_owned()));
    }
}
