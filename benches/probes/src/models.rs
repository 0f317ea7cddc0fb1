//! The statics: each model once, for x86_64 with 46 bits of physical address and 64-byte descriptors; vmemmap also with flat
//! planes, and with 52 bits.
//!
//! Other processors' probes have the same numbers: arm64 and riscv64 with pages of 4 KiB have sections of the same size. So
//! the counts of processors differ by their instructions, and by nothing else.

#[cfg(target_arch = "x86_64")]
use sparsemem_by_frame::ByFrame;
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_compressed_index::CompressedIndex;
use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{ArrayPlace, NeverReclaim, Page, PlaceClaim, SectionShape};
use sparsemem_flat::Flat;
use sparsemem_section::FlatPlanes;
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{ConstBase, DynamicBase, Native, Vmemmap};

/// The place where Linux keeps the array with 4-level tables.
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

/// The place where Linux keeps the array with 5-level tables.
pub(crate) struct WidePlace;

// SAFETY: as above.
unsafe impl ArrayPlace for WidePlace {
    const START: u64 = 0xffd4_0000_0000_0000;
    const BYTES: u64 = 1 << 46;

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
/// The same, exact by frame.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
pub(crate) static BYFRAME: ByFrame<SparseExtreme<X86_64, Page, NeverReclaim, ROOTS>> =
    ByFrame::new(SparseExtreme::new());
#[unsafe(no_mangle)]
pub(crate) static VMEMMAP: Vmemmap<X86_64, Page, NeverReclaim, ConstBase<Place>, ROOTS> = Vmemmap::new();
#[unsafe(no_mangle)]
pub(crate) static PLACED: Vmemmap<X86_64, Page, NeverReclaim, DynamicBase, ROOTS> = Vmemmap::new();
/// Planes beside the table, in place of those in roots.
#[unsafe(no_mangle)]
pub(crate) static PLANES: Vmemmap<
    X86_64,
    Page,
    NeverReclaim,
    ConstBase<Place>,
    ROOTS,
    <X86_64 as Native>::Format,
    FlatPlanes<X86_64, SECTIONS>,
> = Vmemmap::new();
#[unsafe(no_mangle)]
pub(crate) static WIDE: Vmemmap<
    X86_64La57,
    Page,
    NeverReclaim,
    ConstBase<WidePlace>,
    { X86_64La57::NR_ROOTS_LEN },
> = Vmemmap::new();
#[unsafe(no_mangle)]
pub(crate) static FLAT: Flat<X86_64, Page, NeverReclaim> = Flat::new();
#[unsafe(no_mangle)]
pub(crate) static COMPRESSED: CompressedIndex<X86_64, Page, NeverReclaim> = CompressedIndex::new();
