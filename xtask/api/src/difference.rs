//! The difference between two lists of lines.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The lines that only one of the lists has: `-` before those of the first, `+` before those of the second.
pub(crate) fn between(before: &str, now: &str) -> String {
    let mut lines: BTreeMap<&str, isize> = BTreeMap::new();
    for line in before.lines() {
        *lines.entry(line).or_default() -= 1;
    }
    for line in now.lines() {
        *lines.entry(line).or_default() += 1;
    }
    let mut text = String::new();
    for (line, surplus) in lines.into_iter().filter(|(_, surplus)| *surplus != 0) {
        let sign = if surplus < 0 { '-' } else { '+' };
        let _ = writeln!(text, "  {sign} {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn removed_and_added_lines_are_named_and_the_order_does_not_matter() {
        assert_eq!(between("a\nb\n", "b\na\n"), "");
        assert_eq!(between("a\nb\n", "b\nc\n"), "  - a\n  + c\n");
    }

    #[test]
    fn a_line_that_is_there_twice_counts_twice() {
        assert_eq!(between("a\na\n", "a\n"), "  - a\n");
    }
}
