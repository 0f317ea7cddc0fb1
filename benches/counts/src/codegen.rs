//! `cargo xtask codegen`: the instructions of every lookup, compared with a budget, with the same lookup in C, and with
//! the text that was blessed; and those of whole operations, compared with blessed counts.
//!
//! The probes are in the package `sparsemem-probes`, the operations in `sparsemem-benches`. A C compiler is needed beside
//! cargo, and valgrind for the operations.

use sparsemem_terminal::{Failure, Format, Screen, Status, say, say_json};

use crate::{blessed, build, operations, report, verdict};

/// The arguments of `codegen`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write the listings as they are now into `benches/codegen`, instead of comparing with what is there.
    #[arg(long)]
    bless: bool,
    /// Leave out the operations, which are counted in valgrind.
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
    let generated = build::generated()?;
    let executed = if args.lookups_only { None } else { Some(operations::count()?) };
    let texts = blessed::texts(&generated);
    if args.bless {
        blessed::write(&texts)?;
        executed.iter().try_for_each(|executed| operations::bless(&generated.rustc, executed))?;
    }
    let compared = executed.map(|executed| operations::compare(&generated.rustc, &executed)).transpose()?;
    Ok(verdict::judge(&generated, blessed::compare(&texts)?, compared))
}

/// The counts as JSON, for the report of `cargo xtask bench`; nothing is compared with what was blessed.
pub(crate) fn counts() -> Result<String, Failure> {
    let judged = judged(&Args::default())?;
    serde_json::to_string(&report::json(&judged)).map_err(|error| Failure::Broken(error.to_string()))
}
