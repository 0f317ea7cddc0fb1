//! The configuration of the kernel's model, and the model.

use sparsemem::{ArrayPlace, Config, Page, PlaceClaim, presets::X86_64};

use super::OneProcessor;

/// The configuration.
pub(crate) struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page;
    type Reclaim = OneProcessor;
    type Array = Array;
}

/// The place of a virtual memmap, for a backend that has one: that of Linux with four levels of page tables.
pub(crate) struct Array;

// SAFETY: (1) between the direct map and the image this kernel maps nothing but the two arrays, (2) which begin and end on
// borders of 512 GiB and are apart; (3) with five levels the image is always mapped below the same entry of the top-level
// table; (4) the claim is a static of this function alone.
unsafe impl ArrayPlace for Array {
    const START: u64 = 0xffff_ea00_0000_0000;
    const BYTES: u64 = 1 << 40;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new();
        &CLAIM
    }
}

sparsemem::declare! {
    /// The frames of this machine and their descriptors.
    pub(crate) static MODEL: Kernel;
}
