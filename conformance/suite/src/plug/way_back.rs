//! From descriptors back to their frames.

use sparsemem_core::PfnRange;

use super::Plug;
use super::life::borders;
use crate::Failure;
use crate::failure::{Place, expect_eq};

/// Fails unless the descriptors at the borders of a range were initialised, by whoever brought it into use, and lead back
/// to their frames.
pub(super) fn leads_back(plug: &dyn Plug, frames: PfnRange) -> Result<(), Failure> {
    borders(frames).into_iter().try_for_each(|pfn| {
        expect_eq(Place::Frame(pfn), "frame of the initialised descriptor", &Some(pfn), &plug.frame_of(pfn))
    })
}
