//! `cargo xtask conformance`: every scenario on every backend and every machine, and every recording on every backend.
//!
//! The crate `sparsemem-conformance` runs the cells. This module has the options ([`Args`]), the display of the
//! progress ([`progress`]), and the report ([`report`]).

#[cfg(feature = "exhaustive")]
mod exhaustive;
#[cfg(not(feature = "exhaustive"))]
#[path = "exhaustive_not_built.rs"]
mod exhaustive;
mod failures;
mod list;
mod matrix;
mod progress;
#[cfg(feature = "qemu")]
mod qemu;
#[cfg(not(feature = "qemu"))]
#[path = "qemu_not_built.rs"]
mod qemu;
mod report;
mod rules;
#[cfg(test)]
mod sample;
mod select;
mod skips;
mod worker;
mod worlds;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use sparsemem_any::Backend;
use sparsemem_machine_files::GeometryName;
use sparsemem_report::Arch;

use sparsemem_terminal::{Failure, Format, Screen, Status, say, say_json};

/// The extent of a walk, as an option of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Walk {
    /// Over a million transitions per backend: seconds.
    Small,
    /// Over sixty million transitions per backend: minutes.
    Full,
}

/// The options; everything runs by default.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Run in this world: on the simulated machine, in kernels booted by QEMU, or both.
    #[arg(long, value_enum, default_value_t)]
    world: worlds::Worlds,
    /// Boot kernels on this processor only: x86_64, aarch64 or riscv64 (may be repeated). By default, all for which QEMU and
    /// a compiler are installed; the cells of the others are skipped.
    #[arg(long = "arch", value_name = "NAME", value_delimiter = ',')]
    archs: Vec<Arch>,
    /// Run on this backend only (may be repeated).
    #[arg(long = "backend", value_name = "NAME", value_delimiter = ',')]
    backends: Vec<Backend>,
    /// Run on this machine only: a path, or a name from the list (may be repeated).
    #[arg(long = "machine", value_name = "FILE")]
    machines: Vec<PathBuf>,
    /// Replay these recordings of a Linux kernel and nothing else: paths, or names from the list.
    #[arg(long = "recording", value_name = "FILE", num_args = 1.., conflicts_with_all = ["machines", "geometry"])]
    recordings: Vec<PathBuf>,
    /// Run scenarios whose names match, with `*` and `?` (may be repeated).
    #[arg(long = "scenario", value_name = "GLOB")]
    scenarios: Vec<String>,
    /// Boot machines with this geometry instead of their own.
    #[arg(long, value_name = "NAME")]
    geometry: Option<GeometryName>,
    /// Walk every reachable state of tiny machines instead, and compare each with a plain reference.
    #[arg(long, value_enum, value_name = "SIZE", conflicts_with_all = ["machines", "recordings", "scenarios", "geometry", "world", "list"])]
    exhaustive: Option<Walk>,
    /// Run so many cells at the same time; as many as there are processors by default.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<NonZeroUsize>,
    /// Print text, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Show scenarios, machines and backends instead of running anything.
    #[arg(long)]
    list: bool,
    /// Run the cells whose indices another process writes to standard input.
    #[arg(long, hide = true)]
    worker: bool,
}

/// Runs or lists the selected cells.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    match args.exhaustive {
        Some(size) => exhaustive::run(args, size),
        None if args.list => list(args),
        None if args.worker => worlds::Run::new(args)?.serve(),
        None => execute(args),
    }
}

fn list(args: &Args) -> Result<Status, Failure> {
    if args.world == worlds::Worlds::Qemu {
        return qemu::list(args.format);
    }
    let list = list::List::new(args)?;
    match args.format {
        Format::Text => say(&list.text(&Screen::of_stdout()))?,
        Format::Json => say_json(&list.json())?,
    }
    Ok(Status::Passed)
}

fn execute(args: &Args) -> Result<Status, Failure> {
    let run = worlds::Run::new(args)?;
    eprint!("{}", select::warnings(&run.host));
    let started = Instant::now();
    let report = {
        let progress = progress::Progress::new(run.cells());
        run.run_cells(args, threads(args, run.cells()), &progress)?
    };
    match args.format {
        Format::Text => {
            let rerun = failures::Rerun { geometry: args.geometry };
            say(&report::render(&report, rerun, started.elapsed(), &Screen::of_stdout()))?;
        }
        Format::Json => say_json(&report)?,
    }
    Ok(if report.summary.failed == 0 { Status::Passed } else { Status::Failed })
}

/// Reads a number of threads.
fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a number from 1 on".to_owned())
}

/// As many threads as requested, or as there are processors, but at most one per cell.
fn threads(args: &Args, cells: usize) -> usize {
    let wanted = args.threads.or_else(|| std::thread::available_parallelism().ok());
    wanted.map_or(1, NonZeroUsize::get).min(cells).max(1)
}
