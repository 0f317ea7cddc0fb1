//! `cargo xtask codegen`: the instructions of every lookup, compared with a budget, with the same lookup in C, and with
//! the text that was blessed; and those of whole operations, compared with blessed counts.
//!
//! The probes are in the package `sparsemem-probes`, the operations in `sparsemem-benches`. A C compiler is needed beside
//! cargo, and valgrind for the operations; for another processor than x86_64 a second compiler and a C compiler for it.

use sparsemem_report::Arch;
use sparsemem_terminal::{Failure, Format, Screen, Status, say, say_json};

use crate::{blessed, build, operations, processors, report, verdict};

/// The arguments of `codegen`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write the listings as they are now into `benches/codegen`, instead of comparing with what is there.
    #[arg(long)]
    bless: bool,
    /// Count the lookups of this processor only: x86_64, aarch64 or riscv64 (may be repeated). By default, of all whose
    /// compilers are installed.
    #[arg(long = "arch", value_name = "NAME", value_delimiter = ',')]
    archs: Vec<Arch>,
    /// Leave out the operations, which are counted in valgrind, on x86_64 only.
    #[arg(long)]
    lookups_only: bool,
    /// Text for people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Builds the probes and judges what came out.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let judged = judged(args)?;
    match args.format {
        Format::Text => say(&report::render(&judged, &Screen::of_stdout()))?,
        Format::Json => say_json(&report::json(&judged))?,
    }
    Ok(if judged.passed() { Status::Passed } else { Status::Failed })
}

fn judged(args: &Args) -> Result<verdict::Judged, Failure> {
    let archs = processors::chosen(&args.archs)?;
    let processors = archs.iter().map(|arch| lookups(*arch, args)).collect::<Result<Vec<_>, _>>()?;
    let host = processors.iter().find(|processor| processor.arch == Arch::X86_64 && !args.lookups_only);
    let operations = host.map(|host| executed(&host.rustc, args)).transpose()?;
    Ok(verdict::Judged { processors, operations })
}

/// The lookups of a processor.
fn lookups(arch: Arch, args: &Args) -> Result<verdict::Processor, Failure> {
    let generated = build::generated(arch)?;
    let texts = blessed::texts(&generated);
    if args.bless {
        blessed::write(&texts)?;
    }
    Ok(verdict::judge(&generated, blessed::compare(&texts)?))
}

/// The operations, beside those that were blessed.
fn executed(rustc: &str, args: &Args) -> Result<Vec<operations::OperationRow>, Failure> {
    let executed = operations::count()?;
    if args.bless {
        operations::bless(rustc, &executed)?;
    }
    operations::compare(rustc, &executed)
}

/// The counts of x86_64 as JSON, for the report of `cargo xtask bench`; nothing is compared with what was blessed.
pub(crate) fn counts() -> Result<String, Failure> {
    let judged = judged(&Args { archs: vec![Arch::X86_64], ..Args::default() })?;
    serde_json::to_string(&report::json(&judged)).map_err(|error| Failure::Broken(error.to_string()))
}
