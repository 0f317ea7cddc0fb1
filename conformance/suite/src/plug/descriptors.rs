//! Checks that initialised descriptors lead to their frames.

use sparsemem_core::PfnRange;

use super::Plug;
use super::life::borders;
use crate::Failure;
use crate::failure::{Place, expect_eq};

/// Fails unless the operation that brought a range into use initialised the descriptors at its borders, so that the
/// model finds their frames.
pub(super) fn lead_to_frames(plug: &dyn Plug, frames: PfnRange) -> Result<(), Failure> {
    borders(frames).into_iter().try_for_each(|pfn| {
        expect_eq(Place::Frame(pfn), "frame of the initialised descriptor", &Some(pfn), &plug.frame_of(pfn))
    })
}
