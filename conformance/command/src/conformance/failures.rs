//! The failed cells: the failure of each, and the command that runs only that cell.

use std::fmt::Write;

use sparsemem_machine_files::GeometryName;
use sparsemem_replay::{PREFIX, RULES};
use sparsemem_report::{CellResult, Report, World};

use sparsemem_terminal::{Colour, Screen};

/// The number of failed cells that are shown; further ones are only counted.
const SHOWN: usize = 30;

/// The options of a command that runs one cell again, in addition to the cell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rerun {
    /// The geometry of the whole run, if the user gave one.
    pub(super) geometry: Option<GeometryName>,
}

/// The failed cells; empty if none failed.
pub(super) fn text(report: &Report, rerun: Rerun, screen: &Screen) -> String {
    let mut text = String::new();
    for result in report.failures().take(SHOWN) {
        let title = format!("{} on {}, {}", result.scenario, result.backend, result.machine);
        let _ = writeln!(text, "{} {title}", screen.paint("FAILED", Colour::Red));
        for line in result.detail.lines() {
            text.push_str(&screen.wrap(line, "    "));
        }
        // The command is printed as one line, however long, so that users can copy it.
        let _ = writeln!(text, "    run it alone:\n{}\n", rerun.command(result));
    }
    let more = report.summary.failed.saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(text, "{more} more cells failed; `--format json` has all of them.\n");
    }
    text
}

impl Rerun {
    /// The command that runs only the cell of `result`.
    fn command(self, result: &CellResult) -> String {
        let mut words = vec!["--scenario", &result.scenario, "--backend", result.backend.name()];
        // A recording determines machine and scenario, and has its own option.
        let is_recording = result.scenario.starts_with(PREFIX);
        if result.scenario != RULES {
            words.extend([if is_recording { "--recording" } else { "--machine" }, &result.machine]);
        }
        if result.world == World::Qemu {
            words.extend(["--world", "qemu"]);
            return command_of(words);
        }
        words.extend(self.geometry.iter().flat_map(|geometry| ["--geometry", geometry.name()]));
        command_of(words)
    }
}

/// The command with these words.
fn command_of(words: Vec<&str>) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    format!("cargo xtask conformance {}", words.join(" "))
}

/// A word, quoted if the shell would split it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_machine_files::GeometryName;
    use sparsemem_report::{CellResult, Report, World};

    use super::super::sample::{failed, passed};
    use super::{Rerun, quoted, text};
    use sparsemem_terminal::Screen;

    #[test]
    fn a_failure_has_its_reason_and_its_command() {
        let report =
            Report::new(vec![passed("boot/words", "a"), failed("boot/words", "b.dmesg", "no word\nat 3")]);
        let expected = "FAILED boot/words on vmemmap, b.dmesg\n    no word\n    at 3\n    run it alone:\ncargo xtask \
                        conformance --scenario boot/words --backend vmemmap --machine b.dmesg\n\n";
        assert_eq!(text(&report, Rerun::default(), &Screen::plain(80)), expected);
    }

    #[test]
    fn the_command_keeps_the_geometry_and_quotes_names() {
        let rerun = Rerun { geometry: Some(GeometryName::Riscv64) };
        let command = rerun.command(&failed("boot/words", "my logs/b.dmesg", ""));
        assert!(command.ends_with("--machine 'my logs/b.dmesg' --geometry riscv64"), "{command}");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_recording_has_its_own_option() {
        let command = Rerun::default().command(&failed("linux/dimm-1g", "dimm-1g.json", ""));
        assert!(command.ends_with("--backend vmemmap --recording dimm-1g.json"), "{command}");
    }

    #[test]
    fn all_recordings_need_no_option() {
        let command = Rerun::default().command(&failed("linux/rules", "all recordings", ""));
        assert!(command.ends_with("--scenario linux/rules --backend vmemmap"), "{command}");
    }

    #[test]
    fn a_kernel_is_booted_again() {
        let failed = CellResult { world: World::Qemu, ..failed("dimm/refused", "qemu-q35-dimms", "") };
        let command = Rerun { geometry: Some(GeometryName::Riscv64) }.command(&failed);
        assert!(command.ends_with("--machine qemu-q35-dimms --world qemu"), "{command}");
    }

    #[test]
    fn many_failures_are_cut() {
        let report = Report::new((0..40).map(|_| failed("boot/words", "a", "why")).collect());
        assert!(text(&report, Rerun::default(), &Screen::plain(80)).contains("10 more cells failed;"));
    }
}
