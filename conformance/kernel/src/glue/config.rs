//! The kernel's parts, and its model.

use core::sync::atomic::AtomicBool;

use sparsemem::{ArrayPlace, Config, Page, presets::X86_64};

use super::OneProcessor;

/// The parts that are this kernel's.
pub(crate) struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page;
    type Reclaim = OneProcessor;
    type Array = Array;
}

/// Where vmemmap keeps its array: Linux' place with four levels of page tables.
pub(crate) struct Array;

// SAFETY: between the direct map and the image nothing else of this kernel is mapped, and the flag is a static of this
// function alone.
unsafe impl ArrayPlace for Array {
    const START: u64 = 0xffff_ea00_0000_0000;
    const BYTES: u64 = 1 << 40;

    fn claim() -> &'static AtomicBool {
        static CLAIM: AtomicBool = AtomicBool::new(false);
        &CLAIM
    }
}

sparsemem::declare! {
    /// The frames of this machine and their descriptors.
    pub(crate) static MODEL: Kernel;
}
