//! Replaces `exhaustive` in builds without that feature.

use sparsemem_terminal::{Failure, Status};

use super::{Args, Walk};

pub(super) fn run(_: &Args, _: Walk) -> Result<Status, Failure> {
    Err(Failure::Usage(
        "this program was built without the feature `exhaustive`; build it with that feature".to_owned(),
    ))
}
