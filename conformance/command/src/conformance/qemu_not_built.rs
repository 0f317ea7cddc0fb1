//! Replaces `qemu` in builds without that feature: no cells run in QEMU.

use sparsemem_report::CellResult;
use sparsemem_terminal::{Failure, Format, Status};

use super::Args;
use super::progress::Progress;

/// Cells that run in QEMU: there are none.
pub(super) enum InQemu {}

/// The error if the user selects QEMU.
fn not_built<T>() -> Result<T, Failure> {
    Err(Failure::Usage(
        "this program was built without the feature `qemu`; build it with that feature".to_owned(),
    ))
}

impl InQemu {
    pub(super) fn new(_: &Args) -> Result<Self, Failure> {
        not_built()
    }

    pub(super) fn cells(&self) -> usize {
        match *self {}
    }

    pub(super) fn check_tools(&self) -> Result<(), Failure> {
        match *self {}
    }

    pub(super) fn run_cells(
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

/// All arguments are for the host, except if the user selects both worlds.
pub(super) fn split(args: &Args) -> (Option<Args>, Option<Args>) {
    (None, Some(args.clone()))
}
