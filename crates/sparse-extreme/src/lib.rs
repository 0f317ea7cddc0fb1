//! The sparse-extreme memory model: a two-level section table whose roots are allocated when needed.
//!
//! A lookup loads the root pointer, then the section word, and adds the frame number. The table costs 8 bytes per
//! possible root, and a page per root that has a section: it is suitable for up to 56 bits of physical address.
//!
//! ```
//! use sparsemem_core::presets::Riscv64;
//! use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn, SectionShape};
//! use sparsemem_sparse_extreme::SparseExtreme;
//!
//! static MODEL: SparseExtreme<Riscv64, Page, NeverReclaim, { Riscv64::NR_ROOTS_LEN }> = SparseExtreme::new();
//!
//! assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
//! ```
#![no_std]
#![forbid(unsafe_code)]

use sparsemem_section::{Encoded, InWords, LinuxRule, RootedTable, SparseModel};

/// The model for geometry `G`, descriptor `P` and readers of domain `R`; `N` is the geometry's
/// [`NR_ROOTS_LEN`](sparsemem_core::SectionShape::NR_ROOTS_LEN).
///
/// `Q` says what is valid: by default what is so in Linux, or what was reported, by
/// [`ExactRule`](sparsemem_section::ExactRule).
///
/// Source: Linux `SPARSEMEM_EXTREME`.
pub type SparseExtreme<G, P, R, const N: usize, Q = LinuxRule> =
    SparseModel<RootedTable<G, P, N, InWords<Q>>, Encoded, R>;
