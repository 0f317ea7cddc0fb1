//! How QEMU itself sees a kernel's mappings: it walks the page tables from CR3 as `info tlb` and `info mem`.
//!
//! QEMU tells base pages from large ones, but 2 MiB from 1 GiB only by how much `info mem` says is mapped.

use core::fmt::Write;
use core::ops::Range;

/// The lines of `info tlb` within a range, as answers have them: count, then `VIRTUAL PHYSICAL SIZE` each, where the size
/// is `4k` or `large`.
pub(super) fn leaves(printed: &str, range: &Range<u64>) -> String {
    let leaves: Vec<_> = printed.lines().filter_map(leaf).filter(|leaf| range.contains(&leaf.0)).collect();
    listed(leaves.iter().map(|(at, to, size)| format!("{at:x} {to:x} {size}")))
}

/// The lines of `info mem` within a range, cut at its ends: count, then `START END` each.
pub(super) fn ranges(printed: &str, range: &Range<u64>) -> String {
    let cut = |(start, end): (u64, u64)| (start.max(range.start), end.min(range.end));
    let ranges = printed.lines().filter_map(span).map(cut).filter(|(start, end)| start < end);
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            // Neighbours are apart only if their permissions differ, which is not asked for.
            Some(last) if last.1 == start => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    listed(joined.iter().map(|(start, end)| format!("{start:x} {end:x}")))
}

/// Lines, with their number before them.
fn listed(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = lines.len().to_string();
    for line in lines {
        let _ = write!(text, "\n{line}");
    }
    text
}

/// `VIRTUAL: PHYSICAL FLAGS`, where `P` among the flags stands for a large page.
fn leaf(line: &str) -> Option<(u64, u64, &'static str)> {
    let (at, rest) = line.split_once(": ")?;
    let (to, flags) = rest.trim().split_once(' ')?;
    let size = if flags.contains('P') { "large" } else { "4k" };
    Some((hex(at)?, hex(to)?, size))
}

/// `START-END BYTES PERMISSIONS`.
fn span(line: &str) -> Option<(u64, u64)> {
    let (start, rest) = line.split_once('-')?;
    Some((hex(start)?, hex(rest.split(' ').next()?)?))
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{leaves, ranges};

    #[test]
    fn leaves_are_those_of_the_range() {
        let printed = "0000000000200000: 0000000000200000 --PDA---W\r\n\
                       ffffea0000000000: 000000000f800000 X-PDA---W\r\n\
                       ffffea0000200000: 000000000fe01000 X--DA---W\r\n";
        let vmemmap = 0xffff_ea00_0000_0000..0xffff_eb00_0000_0000;
        assert_eq!(
            leaves(printed, &vmemmap),
            "2\nffffea0000000000 f800000 large\nffffea0000200000 fe01000 4k"
        );
        assert_eq!(leaves("", &vmemmap), "0");
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let printed = "0000000000000000-0000000000200000 0000000000200000 -rw\r\n\
                       0000000000200000-0000000000400000 0000000000200000 -r-\r\n\
                       ffffea0000000000-ffffea0000600000 0000000000600000 -rw\r\n";
        assert_eq!(ranges(printed, &(0x10_0000..0x1000_0000)), "1\n100000 400000");
        assert_eq!(ranges(printed, &(0x1000_0000..u64::MAX)), "1\nffffea0000000000 ffffea0000600000");
    }
}
