//! The statics: each model once, for x86_64 with 46 bits of physical address and 64-byte descriptors.

use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ArrayPlace, NeverReclaim, Page, PlaceClaim, SectionShape};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{ConstBase, DynamicBase, Vmemmap};

/// Where Linux keeps the array with 4-level tables.
pub(crate) struct Place;

// SAFETY: no program of the host has addresses of the upper half, and the model of it that is here is never booted.
unsafe impl ArrayPlace for Place {
    const START: u64 = 0xffff_ea00_0000_0000;
    const BYTES: u64 = 1 << 40;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new();
        &CLAIM
    }
}

const SECTIONS: usize = X86_64::NR_SECTIONS_LEN;
const ROOTS: usize = X86_64::NR_ROOTS_LEN;

/// The names of the statics are kept, because listings show them.
#[unsafe(no_mangle)]
pub(crate) static CLASSIC: ClassicSparse<X86_64, Page, NeverReclaim, SECTIONS> = ClassicSparse::new();
#[unsafe(no_mangle)]
pub(crate) static EXTREME: SparseExtreme<X86_64, Page, NeverReclaim, ROOTS> = SparseExtreme::new();
#[unsafe(no_mangle)]
pub(crate) static VMEMMAP: Vmemmap<X86_64, Page, NeverReclaim, ConstBase<Place>, ROOTS> = Vmemmap::new();
#[unsafe(no_mangle)]
pub(crate) static PLACED: Vmemmap<X86_64, Page, NeverReclaim, DynamicBase, ROOTS> = Vmemmap::new();
