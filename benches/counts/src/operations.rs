//! The instructions of whole operations, counted by valgrind's callgrind, and compared with blessed counts.
//!
//! # Invariants
//!
//! 1. Counts are those of executed instructions inside the operation; they are the same in every run of a program.
//! 2. The program is optimised as a whole, so that what is inlined where does not depend on how it was cut into pieces.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use super::blessed::{HEAD, read, write_file};
use super::build::{cargo, compile};
use sparsemem_terminal::Failure;

/// The package and the program that does operations.
const PACKAGE: &str = "sparsemem-benches";
const PROGRAM: &str = "sparsemem-operations";
/// The function inside of which instructions are counted.
const MEASURED: &str = "sparsemem_measured";
/// The file of the blessed counts.
const FILE: &str = "operations.txt";
/// The difference that a count may have from the blessed one: the C library chooses its code by the processor, and the
/// environment that gives memory is part of an operation. Units: per cent, and instructions; the larger of the two
/// counts.
const TOLERANCE: (f64, u64) = (2.0, 32);

/// Executed instructions by operation, named `OPERATION MODEL`.
pub(crate) type Executed = BTreeMap<String, u64>;

/// A count beside the blessed one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperationRow {
    /// The operation and the model.
    pub(crate) operation: String,
    /// Executed instructions.
    pub(crate) instructions: u64,
    /// The blessed count, if the same compiler made it.
    pub(crate) blessed: Option<u64>,
}

impl OperationRow {
    /// The difference from what was blessed. Units: per cent.
    pub(crate) fn change(&self) -> Option<f64> {
        let blessed = self.blessed? as f64;
        Some((self.instructions as f64 - blessed) / blessed * 100.0)
    }

    /// True if it differs by more than it may: less is as wrong as more, for the file then says what is not true.
    pub(crate) fn is_wrong(&self) -> bool {
        let is_small = self.blessed.is_some_and(|blessed| blessed.abs_diff(self.instructions) <= TOLERANCE.1);
        !is_small && self.change().is_some_and(|change| change.abs() > TOLERANCE.0)
    }
}

/// Runs every operation in valgrind.
pub(super) fn count() -> Result<Executed, Failure> {
    require_valgrind()?;
    eprintln!("building the operations");
    let mut command = cargo();
    command.args([
        "build",
        "--profile",
        "codegen",
        "--package",
        PACKAGE,
        "--bin",
        PROGRAM,
        "--no-default-features",
    ]);
    let program = compile(command, &[], PROGRAM)?;
    let list = said(Command::new(&program).output(), &program)?;
    eprintln!("counting the instructions of {} operations", list.lines().count());
    let counted = list.lines().map(|operation| Ok((operation.to_owned(), count_one(&program, operation)?)));
    counted.collect()
}

fn require_valgrind() -> Result<(), Failure> {
    let found = Command::new("valgrind").arg("--version").output();
    found.map(|_| ()).map_err(|_| {
        let text = "valgrind counts the instructions of operations, and is not installed; install it \
                    (`apt-get install valgrind`),\nor leave the operations out with `--lookups-only`";
        Failure::Broken(text.to_owned())
    })
}

fn count_one(program: &Path, operation: &str) -> Result<u64, Failure> {
    let out = program.with_extension("callgrind");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(operation.split(' '))
        .output();
    said(output, program)?;
    let text = std::fs::read_to_string(&out)
        .map_err(|error| Failure::Broken(format!("{}: {error}", out.display())))?;
    total(&text).ok_or_else(|| Failure::Broken(format!("{}: valgrind says no total", out.display())))
}

/// The total that callgrind writes at the end of its file.
fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

/// The output of a program that succeeded.
fn said(output: std::io::Result<Output>, program: &Path) -> Result<String, Failure> {
    let output = output.map_err(|error| Failure::Broken(format!("{}: {error}", program.display())))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::Broken(format!("{} failed:\n{error}", program.display())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes the counts down.
pub(super) fn bless(rustc: &str, executed: &Executed) -> Result<(), Failure> {
    let mut text = format!(
        "{HEAD}{rustc}\n# Executed instructions, counted by valgrind's callgrind; a repeated string instruction counts as often as it repeats.\n\n"
    );
    for (operation, instructions) in executed {
        // A text has room for any line.
        let _ = writeln!(text, "{instructions:>8} {operation}");
    }
    write_file(FILE, &text)
}

/// The counts beside the blessed ones.
pub(super) fn compare(rustc: &str, executed: &Executed) -> Result<Vec<OperationRow>, Failure> {
    Ok(rows(&blessed(&read(FILE)?, rustc), executed))
}

fn rows(blessed: &Executed, executed: &Executed) -> Vec<OperationRow> {
    let row = |(operation, instructions): (&String, &u64)| OperationRow {
        operation: operation.clone(),
        instructions: *instructions,
        blessed: blessed.get(operation).copied(),
    };
    executed.iter().map(row).collect()
}

/// The counts of a file, if they are of this compiler.
fn blessed(text: &str, rustc: &str) -> Executed {
    let compiler = text.lines().next().and_then(|line| line.strip_prefix(HEAD));
    if compiler != Some(rustc) {
        return Executed::new();
    }
    let counts = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (instructions, operation) = line.trim().split_once(' ')?;
        Some((operation.to_owned(), instructions.parse().ok()?))
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::{Executed, HEAD, OperationRow, blessed, rows, total};

    #[test]
    fn the_total_is_found() {
        assert_eq!(total("fn=(1) a\n1 2\n\ntotals: 4711\n"), Some(4711));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn counts_of_another_compiler_are_none() {
        let text = format!("{HEAD}rustc 9\n# more\n\n     100 add-section vmemmap\n");
        assert_eq!(blessed(&text, "rustc 9").get("add-section vmemmap"), Some(&100));
        assert!(blessed(&text, "rustc 8").is_empty());
    }

    #[test]
    fn a_few_instructions_are_never_wrong() {
        let row = |instructions| OperationRow { operation: "a".to_owned(), instructions, blessed: Some(400) };
        assert!(!row(432).is_wrong() && row(433).is_wrong());
    }

    #[test]
    fn large_changes_are_wrong_in_both_directions() {
        let wrong = |now| {
            let (blessed, now) = ([("a".to_owned(), 10_000)], [("a".to_owned(), now)]);
            rows(&Executed::from(blessed), &Executed::from(now))[0].is_wrong()
        };
        assert_eq!([10_000, 10_200, 10_201, 9_800, 9_799].map(wrong), [false, false, true, false, true]);
        let unknown = rows(&Executed::new(), &Executed::from([("a".to_owned(), 1)]));
        assert!(!unknown[0].is_wrong() && unknown[0].change().is_none());
    }
}
