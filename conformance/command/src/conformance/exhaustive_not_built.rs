//! Replaces `exhaustive` in builds without that feature.

use clap::ValueEnum;
use sparsemem_terminal::{Failure, Status};

use super::Args;

/// The extent of a walk, as an option of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Walk {
    /// Over a million transitions per backend: seconds.
    Small,
    /// Over sixty million transitions per backend: minutes.
    Full,
}

pub(super) fn run(_: &Args, _: Walk) -> Result<Status, Failure> {
    Err(Failure::Usage(
        "this program was built without the feature `exhaustive`; build it with that feature".to_owned(),
    ))
}
