//! In the place of `qemu`, where that was not built: nothing is run in QEMU.

use sparsemem_report::CellResult;
use sparsemem_terminal::{Failure, Format, Status};

use super::Args;
use super::progress::Progress;

/// Cells that QEMU runs: there are none.
pub(super) enum InQemu {}

/// What to say to whoever asks for QEMU.
fn not_built<T>() -> Result<T, Failure> {
    Err(Failure::Usage("this program was built without the feature `qemu`".to_owned()))
}

impl InQemu {
    pub(super) fn new(_: &Args) -> Result<Self, Failure> {
        not_built()
    }

    pub(super) fn cells(&self) -> usize {
        match *self {}
    }

    pub(super) fn check_tools() -> Result<(), Failure> {
        not_built()
    }

    pub(super) fn play(
        &self,
        _: usize,
        _: &Progress,
        _: &(dyn Fn(&CellResult) + Sync),
    ) -> Result<Vec<CellResult>, Failure> {
        match *self {}
    }
}

pub(super) fn list(_: Format) -> Result<Status, Failure> {
    not_built()
}

/// Everything is the host's, except that somebody asked for both.
pub(super) fn split(args: &Args) -> (Option<Args>, Option<Args>) {
    (None, Some(args.clone()))
}
