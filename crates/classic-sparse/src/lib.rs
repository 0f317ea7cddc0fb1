//! The classic-sparse memory model: one static table with an entry per possible section.
//!
//! A lookup loads the section word and adds the frame number. The table costs 16 bytes per *possible* section: 8 MiB
//! for x86_64 with 46 bits of physical address, 512 MiB with 52 bits; choose sparse-extreme or vmemmap there.
//!
//! ```
//! use sparsemem_classic_sparse::ClassicSparse;
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn, SectionShape};
//!
//! static MODEL: ClassicSparse<X86_64, Page, NeverReclaim, { X86_64::NR_SECTIONS_LEN }> = ClassicSparse::new();
//!
//! assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
//! ```
//!
//! A table of another size than the geometry's does not compile:
//!
//! ```compile_fail
//! use sparsemem_classic_sparse::ClassicSparse;
//! use sparsemem_core::{NeverReclaim, Page, presets::X86_64};
//!
//! static MODEL: ClassicSparse<X86_64, Page, NeverReclaim, 1000> = ClassicSparse::new();
//! ```
#![no_std]
#![forbid(unsafe_code)]

use sparsemem_section::{Encoded, FlatTable, InWords, LinuxRule, SparseModel};

/// The model for geometry `G`, descriptor `P` and readers of domain `R`; `N` is the geometry's
/// [`NR_SECTIONS_LEN`](sparsemem_core::SectionShape::NR_SECTIONS_LEN).
///
/// `Q` says what is valid: by default what is so in Linux, or what was reported, by
/// [`ExactRule`](sparsemem_section::ExactRule).
///
/// Source: Linux `SPARSEMEM` with `SPARSEMEM_STATIC`.
pub type ClassicSparse<G, P, R, const N: usize, Q = LinuxRule> =
    SparseModel<FlatTable<G, P, N, InWords<Q>>, Encoded, R>;
