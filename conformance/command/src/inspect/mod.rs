//! `cargo xtask inspect FILE`: shows the state of the models on one machine.
//!
//! [`extents`] turns the inspection into runs of equal sections, [`picture`] draws them, and [`partial`], [`ranges`],
//! [`costs`] and [`verdict`] write the text below the picture.

mod bands;
mod costs;
mod extents;
mod partial;
mod picture;
mod ranges;
mod report;
#[cfg(test)]
mod sample;
mod verdict;

use std::path::PathBuf;

use sparsemem_any::Backend;
use sparsemem_conformance::InspectError;
use sparsemem_machine_files::{GeometryName, MachineFile};

use sparsemem_terminal::{Failure, Format, Status};
use sparsemem_terminal::{Screen, say, say_json};

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kernel log, an iomem listing or a list of memory blocks; a path, or a name in `conformance/machines`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Boot this backend only (may be repeated).
    #[arg(long = "backend", value_name = "NAME", value_delimiter = ',')]
    backends: Vec<Backend>,
    /// Boot the machine with this geometry instead of its own.
    #[arg(long, value_name = "NAME")]
    geometry: Option<GeometryName>,
    /// Print text, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Boots the machine on the backends and prints their state. A file that contradicts itself is shown, and fails.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let machine =
        MachineFile::open(&args.file, args.geometry).map_err(|error| Failure::Usage(error.advice()))?;
    eprint!("{}", machine.remarks());
    let inspection =
        sparsemem_conformance::inspect(&machine, &backends(args)).map_err(|error| match error {
            InspectError::TooLarge(_) => Failure::Usage(error.to_string()),
            _ => Failure::Broken(error.to_string()),
        })?;
    match args.format {
        Format::Text => say(&report::render(&inspection, &Screen::of_stdout()))?,
        Format::Json => say_json(&inspection)?,
    }
    Ok(if inspection.contradictions.is_empty() { Status::Passed } else { Status::Failed })
}

/// The selected backends, or all.
fn backends(args: &Args) -> Vec<Backend> {
    let wanted = |backend: &Backend| args.backends.is_empty() || args.backends.contains(backend);
    Backend::ALL.into_iter().filter(wanted).collect()
}
