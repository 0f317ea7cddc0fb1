//! The vmemmap memory model: descriptors of all frames in one virtual array, mapped only where memory is present.
//!
//! The descriptor of frame *n* is element *n* of the array: a lookup of a known frame is an addition, without a load
//! when the base is a constant. In return the array needs page tables, which this crate fills and empties: 2 MiB leaves
//! for whole sections, base pages for parts of them, and larger leaves where the processor has them and the kernel wants
//! them. The section table stays, because it records which frames are valid; a checked lookup reads a plane of it, which is two
//! loads, or one if the plane is flat.
//!
//! ```
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::{ArrayPlace, MemoryModel, NeverReclaim, Page, Pfn, PlaceClaim, SectionShape};
//! use sparsemem_vmemmap::{ConstBase, Vmemmap};
//!
//! /// The place of the array in Linux with 4-level tables.
//! struct Place;
//!
//! // SAFETY: nothing else of this program uses these addresses, nor any in the blocks of 512 GiB around them.
//! unsafe impl ArrayPlace for Place {
//!     const START: u64 = 0xffff_ea00_0000_0000;
//!     const BYTES: u64 = 1 << 40;
//!
//!     fn claim() -> &'static PlaceClaim {
//!         static CLAIM: PlaceClaim = PlaceClaim::new();
//!         &CLAIM
//!     }
//! }
//!
//! type Model = Vmemmap<X86_64, Page, NeverReclaim, ConstBase<Place>, { X86_64::NR_ROOTS_LEN }>;
//!
//! static MODEL: Model = Vmemmap::new();
//!
//! assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
//! ```
//!
//! # Invariants
//!
//! 1. **Mapped where valid**: the descriptors of a valid frame lie in mapped pages of the array.
//! 2. **Not mapped elsewhere**: a leaf is there only if it holds a descriptor of a valid frame (or, during boot, of the
//!    run that is being brought up). Descriptors that do not fill leaves, and 2 MiB leaves of partly removed sections,
//!    are shared: a leaf is removed with its last valid frame.
//! 3. **The entry has the origin**: two software bits of every page-table entry hold the origin of the leaf, or of the
//!    table below.
//! 4. **The processor's own entries**: a format is named by the model's type, or is the target's. A model without a
//!    format does not compile.
//! 5. **Clear, flush, free**: memory is given back only when no processor can reach it any more.
//! 6. **Shared is to be read only**: the tails of folded compounds lie in pages through which no processor can store. Such
//!    a page stays for its last leaf.
//! 7. **A descriptor has its content at any time**: while descriptors move, readers find what was written before, in the old
//!    memory or in the new; the old is given back when no processor can reach it any more.
//!
//! Numbers such as V-15 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![allow(unsafe_code, reason = "computes descriptor addresses from the base")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod array;
mod base;
mod beforehand;
mod bytes;
mod fold;
#[cfg(doctest)]
mod impossible;
mod mapper;
mod mapper_altmap;
mod native;
mod populate;
mod refold;
mod settle;
mod tails;

pub use array::VirtualArray;
pub use base::{ArrayBase, Claim, ConstBase, DynamicBase};
pub use mapper::{KernelMapper, Mapped, Mapper};
pub use native::{DefaultFormat, Native};

use sparsemem_section::{FlatPlanes, FlatTable, InRoots, RootedTable, SparseModel};

/// The model for geometry `G`, descriptor `P`, readers of domain `R` and the array's place `B`, over the two-level
/// table, as Linux builds it; `N` is the geometry's [`NR_ROOTS_LEN`](sparsemem_core::SectionShape::NR_ROOTS_LEN).
///
/// The page tables are the target's, with pages of the geometry's size where the processor has several ([`Native`]).
/// `F` names another format. `V` says what is valid, and where lookups find it:
///
/// | `V` | a checked lookup | memory |
/// |---|---|---|
/// | [`InRoots`] | two loads | a page more for each root |
/// | [`FlatPlanes<G, { G::NR_SECTIONS_LEN }>`](FlatPlanes) | one load | two bits per possible subsection: two times 4 MiB on x86_64 |
/// | [`InWords`](sparsemem_section::InWords) | two loads, four in sections of which parts are absent | none |
///
/// Each has a last parameter, the rule of what is valid: Linux', or [`ExactRule`](sparsemem_section::ExactRule).
///
/// Source: Linux `SPARSEMEM_VMEMMAP` with `SPARSEMEM_EXTREME`.
pub type Vmemmap<G, P, R, B, const N: usize, F = <G as Native>::Format, V = InRoots> =
    SparseModel<RootedTable<G, P, N, V>, VirtualArray<B, F>, R>;

/// The same over the flat table; `N` is [`NR_SECTIONS_LEN`](sparsemem_core::SectionShape::NR_SECTIONS_LEN).
pub type FlatVmemmap<G, P, R, B, const N: usize, F = <G as Native>::Format, V = FlatPlanes<G, N>> =
    SparseModel<FlatTable<G, P, N, V>, VirtualArray<B, F>, R>;
