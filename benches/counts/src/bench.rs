//! `cargo xtask bench`: measures everything, and writes a report.
//!
//! The measuring is done by the program `sparsemem-measure` of the benches; here it is built as it has to be, given the
//! instructions that `codegen` counts, and started.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use sparsemem_machine_files::MachineFile;

use crate::codegen;
use sparsemem_terminal::{Failure, Format, Status};

/// The package and its program.
const PACKAGE: &str = "sparsemem-benches";
const PROGRAM: &str = "sparsemem-measure";
/// Every loop begins on a cache line, in C as well (`benches/build.rs`): where a loop happens to lie can cost as much as a
/// lookup does.
const ALIGNED_LOOPS: &str = "-Cllvm-args=-align-loops=64";
/// `Selected` is measured for one model; `codegen` compares the code of all three.
const SELECTED: &str = "selected";

/// The end of the addresses that are measured: x86_64 with four levels.
const MOST_ADDRESSES: u64 = 1 << 46;

/// The arguments of `bench`; without any, everything is measured.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only a quick look: fewer samples, no machine beyond two, no counting of instructions.
    #[arg(long)]
    quick: bool,
    /// Measure lookups on this machine only: a path, or a name of the project's machines (may be repeated).
    #[arg(long = "machine", value_name = "FILE")]
    machines: Vec<PathBuf>,
    /// Text for people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also put report and plots where the project keeps them: `benches/REPORT.md` and `benches/plots`.
    #[arg(long, conflicts_with = "quick")]
    publish: bool,
}

/// Measures, and says where the report is.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    args.machines.iter().try_for_each(|machine| check(machine))?;
    let out = target_folder()?.join("bench-report");
    std::fs::create_dir_all(&out).map_err(|error| unwritable(&out, &error))?;
    let counts = if args.quick { None } else { Some(counts(&out)?) };
    let status = measure(args, counts.as_deref(), &out)?;
    if !status.success() {
        return Ok(Status::Failed);
    }
    if args.publish {
        publish(&out)?;
    }
    Ok(Status::Passed)
}

/// Says at once what is wrong with a machine, before anything is built for it.
fn check(machine: &Path) -> Result<(), Failure> {
    let file = MachineFile::open(machine, None).map_err(|error| Failure::Usage(error.advice()))?;
    let end = file.memory.iter().map(|(range, _)| range.end().get()).max().unwrap_or(0);
    let name = machine.display();
    match end {
        0 => Err(Failure::Usage(format!("{name} has no memory"))),
        _ if end > MOST_ADDRESSES => Err(Failure::Usage(format!(
            "{name} has memory above 64 TiB (46 bits), which cannot be measured; `cargo xtask inspect {name}` shows it"
        ))),
        _ => Ok(()),
    }
}

/// Counts instructions into a file.
fn counts(out: &Path) -> Result<PathBuf, Failure> {
    let file = out.join("codegen.json");
    std::fs::write(&file, codegen::counts()?).map_err(|error| unwritable(&file, &error))?;
    Ok(file)
}

fn measure(args: &Args, counts: Option<&Path>, out: &Path) -> Result<ExitStatus, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} {ALIGNED_LOOPS}"));
    command.args(["run", "--quiet", "--release", "--package", PACKAGE, "--bin", PROGRAM]);
    // Its own folder: other builds have other flags, and would make each other anew.
    command.arg("--target-dir").arg(target_folder()?.join("bench"));
    command.args(["--features", SELECTED, "--", "--out"]).arg(out);
    if args.quick {
        command.arg("--quick");
    }
    for machine in &args.machines {
        command.arg("--machine").arg(machine);
    }
    if let Some(counts) = counts {
        command.arg("--codegen").arg(counts);
    }
    if args.format == Format::Json {
        command.args(["--format", "json"]);
    }
    command.status().map_err(|error| Failure::Broken(format!("cargo run: {error}")))
}

/// The folder where cargo puts everything that it makes.
fn target_folder() -> Result<PathBuf, Failure> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec();
    let metadata = metadata.map_err(|error| Failure::Broken(format!("cargo metadata: {error}")))?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Copies the report to where the project keeps it.
fn publish(out: &Path) -> Result<(), Failure> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let plots = home.join("plots");
    std::fs::create_dir_all(&plots).map_err(|error| unwritable(&plots, &error))?;
    copy(&out.join("REPORT.md"), &home.join("REPORT.md"))?;
    let drawn = std::fs::read_dir(out.join("plots")).map_err(|error| unwritable(out, &error))?;
    for plot in drawn.filter_map(Result::ok) {
        copy(&plot.path(), &plots.join(plot.file_name()))?;
    }
    eprintln!("published benches/REPORT.md and benches/plots");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::copy(from, to).map(|_| ()).map_err(|error| unwritable(to, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Broken(format!("{}: {error}", path.display()))
}
