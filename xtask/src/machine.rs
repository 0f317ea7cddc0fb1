//! Machine files that people name on the command line: what to say of those that are not as they should be.

use std::fmt::Write;

use sparsemem_conformance::{MachineError, MachineFile};

use crate::failure::Failure;
use crate::units::counted;

/// Lines of a file that are shown before the rest is only counted.
const SHOWN: usize = 5;

/// The failure for a machine file that cannot be used, with what to do about it.
pub(crate) fn unusable(error: &MachineError) -> Failure {
    Failure::Usage(match error {
        MachineError::Unreadable { .. } => {
            format!(
                "{error}\ngive a path, or a name that `cargo xtask conformance --list` shows under machines"
            )
        }
        MachineError::NoMap { path, source } if !source.lines().is_empty() => {
            let lines: Vec<String> = source.lines().iter().map(ToString::to_string).collect();
            format!("{} has no memory map that can be read:\n{}", path.display(), listed(&lines))
        }
        _ => error.to_string(),
    })
}

/// What a lenient reading passed over, or nothing if there is nothing to tell.
pub(crate) fn warnings(machine: &MachineFile) -> String {
    warning_text(&machine.name, &machine.warnings)
}

fn warning_text(name: &str, warnings: &[String]) -> String {
    match warnings.len() {
        0 => String::new(),
        count => {
            let remarks = counted(count, "remark");
            format!("warning: {name}: {remarks} on how it was read:\n{}\n", listed(warnings))
        }
    }
}

/// The first lines, indented, and how many more there are.
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
