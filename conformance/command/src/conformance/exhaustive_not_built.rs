//! In the place of `exhaustive`, where that was not built.

use clap::ValueEnum;
use sparsemem_terminal::{Failure, Status};

use super::Args;

/// How much to walk, as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Walk {
    /// Over a million transitions per backend: seconds.
    Small,
    /// Over sixty million transitions per backend: minutes.
    Full,
}

pub(super) fn run(_: &Args, _: Walk) -> Result<Status, Failure> {
    Err(Failure::Usage("this program was built without the feature `exhaustive`".to_owned()))
}
