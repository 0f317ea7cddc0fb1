//! The configuration of the kernel's model, and the model.

use sparsemem::{ArrayPlace, Config, Page, PlaceClaim, SectionShape};

use super::Readers;
use crate::arch::{ARRAY, Sizes};

/// The configuration.
pub(crate) struct Kernel;

impl Config for Kernel {
    type Geometry = Sizes;
    type Page = Page;
    type Reclaim = Readers;
    type Array = Array;
}

/// The place of a virtual memmap, for a backend that has one.
pub(crate) struct Array;

// SAFETY: (1) above the direct map this kernel maps nothing but the two arrays, (2) which begin and end on borders of
// 512 GiB and are apart; (3) where tables have entries for more than that, the direct map has the same entry, for ever;
// (4) the claim is a static of this function alone.
unsafe impl ArrayPlace for Array {
    const START: u64 = ARRAY;
    const BYTES: u64 = Sizes::MAX_PFN * size_of::<Page>() as u64;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new();
        &CLAIM
    }
}

sparsemem::declare! {
    /// The frames of this machine and their descriptors.
    pub(crate) static MODEL: Kernel;
}
