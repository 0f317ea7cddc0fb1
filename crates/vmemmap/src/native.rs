//! The entry format of the target: what a model uses whose type names none.
//!
//! # Invariants
//!
//! 1. No target gets the format of another processor: where this workspace has none, [`Native`] has no implementation,
//!    and [`DefaultFormat`] is a type that is no format.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
use sparsemem_core::Geometry;
use sparsemem_page_table::EntryFormat;

/// The entry format that the target's processor has for the pages of a geometry.
///
/// Every geometry has one on x86_64 and riscv64, whose page tables have pages of 4 KiB, and on aarch64, where it is the
/// granule of the geometry's page size: 4 KiB, 16 KiB or 64 KiB, with addresses of 48 bits. A kernel on another
/// processor, or with another regime, names its own format in the model's type.
#[diagnostic::on_unimplemented(
    message = "sparsemem-vmemmap has no entry format for this target",
    note = "name one in the model's type (`EntryFormat` in sparsemem-page-table), or choose classic-sparse or sparse-extreme"
)]
pub trait Native {
    /// The format.
    type Format: EntryFormat;
}

#[cfg(target_arch = "x86_64")]
impl<G: Geometry> Native for G {
    type Format = sparsemem_x86_64_page_table::X86_64;
}

#[cfg(target_arch = "aarch64")]
impl<G: Geometry> Native for G {
    type Format = sparsemem_aarch64_page_table::Aarch64<sparsemem_aarch64_page_table::PagesOf<G>>;
}

#[cfg(target_arch = "riscv64")]
impl<G: Geometry> Native for G {
    type Format = sparsemem_riscv64_page_table::Riscv64;
}

/// The pages of a geometry choose the granule.
#[cfg(target_arch = "aarch64")]
const _: () = {
    use sparsemem_core::presets::{Arm64Page4K, Arm64Page16K, Arm64Page64K};
    assert!(<Arm64Page4K as Native>::Format::BASE_SHIFT == 12);
    assert!(<Arm64Page16K as Native>::Format::BASE_SHIFT == 14);
    assert!(<Arm64Page64K as Native>::Format::BASE_SHIFT == 16);
};

/// The format of an array whose type names none: that of the target, if its pages have one size only.
#[cfg(target_arch = "x86_64")]
pub type DefaultFormat = sparsemem_x86_64_page_table::X86_64;

/// The format of an array whose type names none: that of the target, if its pages have one size only.
#[cfg(target_arch = "riscv64")]
pub type DefaultFormat = sparsemem_riscv64_page_table::Riscv64;

/// No format: on this target the type of an array has to name one.
#[cfg(not(any(target_arch = "x86_64", target_arch = "riscv64")))]
#[derive(Debug)]
pub enum DefaultFormat {}
