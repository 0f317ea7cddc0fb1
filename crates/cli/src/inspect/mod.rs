//! `sparsemem inspect FILE`: shows the state of the models on one machine.
//!
//! [`extents`] turns the inspection into runs of equal sections, [`picture`] draws them as text and [`svg`] as an image, and
//! [`partial`], [`ranges`], [`costs`], [`folded`] and [`verdict`] write the text below the picture.

mod bands;
mod costs;
mod extents;
mod folded;
mod partial;
mod picture;
mod ranges;
mod report;
#[cfg(test)]
pub(crate) mod sample;
mod svg;
mod verdict;

use clap::ValueEnum;
use sparsemem_any::Backend;
use sparsemem_machine_files::GeometryName;

use crate::source::Source;
use sparsemem_terminal::{Failure, Status};

use crate::look::InspectError;
use sparsemem_terminal::{Screen, remark, say, say_json};

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Boot this backend only (may be repeated)
    #[arg(long = "backend", value_name = "NAME", value_delimiter = ',')]
    backends: Vec<Backend>,
    /// Boot the machine with this geometry instead of its own
    #[arg(long, value_name = "NAME")]
    geometry: Option<GeometryName>,
    /// Also show what a device's descriptors take if it has pages of this size, such as 2M or 1G
    #[arg(long, value_name = "SIZE", value_parser = crate::device::page_size)]
    compound: Option<u64>,
    /// Print text, one JSON object, or the picture as an image
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// The forms of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A picture, tables and sentences.
    #[default]
    Text,
    /// One object, and nothing else on standard output.
    Json,
    /// The picture as SVG, for a bug report.
    Svg,
}

/// Boots the machine on the backends and prints their state. A file that contradicts itself is shown, and fails.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let machine = args.source.open(args.geometry)?;
    remark(&machine.remarks());
    let inspection =
        crate::look::inspect(&machine, &args.backends, args.compound).map_err(|error| match error {
            InspectError::TooLarge(_) => Failure::Usage(error.to_string()),
            _ => Failure::Broken(error.to_string()),
        })?;
    match args.format {
        Form::Text => say(&report::render(&inspection, &Screen::of_stdout()))?,
        Form::Json => say_json(&inspection)?,
        Form::Svg => say(&svg::draw(&inspection, &extents::extents(&inspection)))?,
    }
    Ok(if inspection.contradictions.is_empty() { Status::Passed } else { Status::Failed })
}
