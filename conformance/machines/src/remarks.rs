//! Messages about machine files that users name on the command line, if they are not valid in every line.

use std::fmt::Write;

use crate::{MachineError, MachineFile};

/// The number of a file's lines that are shown; further ones are only counted.
const SHOWN: usize = 5;

impl MachineError {
    /// The error, with advice.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                format!(
                    "{self}\ngive a path, or the name of a machine that comes with sparsemem; in its repository `cargo xtask \
                     conformance --list` shows them"
                )
            }
            Self::NoMap { path, source } if !source.lines().is_empty() => {
                let lines: Vec<String> = source.lines().iter().map(ToString::to_string).collect();
                format!("{} has no memory map that can be read:\n{}", path.display(), listed(&lines))
            }
            Self::NoMap { .. } => self.to_string(),
        }
    }
}

impl MachineFile {
    /// The lines that a lenient reading ignored, as a warning; empty if there are none.
    #[must_use]
    pub fn remarks(&self) -> String {
        warning_text(&self.name, &self.warnings)
    }
}

fn warning_text(name: &str, warnings: &[String]) -> String {
    match warnings.len() {
        0 => String::new(),
        count => {
            let ending = if count == 1 { "" } else { "s" };
            format!("warning: {name}: {count} remark{ending} on how it was read:\n{}\n", listed(warnings))
        }
    }
}

/// The first lines, indented, and the number of the others.
fn listed(lines: &[String]) -> String {
    let mut text = lines.iter().take(SHOWN).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(text, "\n  .. and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{listed, warning_text};

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let lines: Vec<String> = (1..=7).map(|line| format!("line {line}: bad")).collect();
        assert_eq!(listed(&lines[..2]), "  line 1: bad\n  line 2: bad");
        assert!(listed(&lines).ends_with("  line 5: bad\n  .. and 2 more"));
        assert_eq!(listed(&lines[..5]).lines().count(), 5);
    }

    #[test]
    fn no_warnings_no_text() {
        assert_eq!(warning_text("a.dmesg", &[]), "");
        let said = warning_text("a.dmesg", &["line 3: no address range: `x`".to_owned()]);
        assert_eq!(said, "warning: a.dmesg: 1 remark on how it was read:\n  line 3: no address range: `x`\n");
    }
}
