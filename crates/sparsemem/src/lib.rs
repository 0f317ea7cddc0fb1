//! Sparse physical memory models for kernels and hypervisors.
//!
//! A kernel names its types once, in a [`Config`], and chooses the model by a feature of this crate:
//!
//! | feature | model | a lookup costs |
//! |---|---|---|
//! | `classic-sparse` | one static table of section words | one load and an addition |
//! | `sparse-extreme` | two-level table, roots on demand | two loads and an addition |
//! | `vmemmap` | a virtual array on the page tables of x86_64, aarch64 or riscv64 | an addition |
//! | `flat` | one array with a bound | one load and an addition |
//! | `compressed-index` | one array without large holes | four loads, a mask and a shift |
//!
//! With exactly one of them on, `Selected` is that model and [`declare!`] puts one into a `static`. With several on,
//! for comparisons, all their modules exist, but `Selected` does not, and `declare!` reports that: a second feature may
//! remove the name, but never change its meaning. The feature `altmap` is not a model: it adds a module for memory that
//! holds its own memmap, with any of them.
//!
//! ```
//! use sparsemem::{Config, MemoryModel, NeverReclaim, Page, Pfn, PlaceClaim, presets::X86_64};
//!
//! struct Kernel;
//!
//! impl Config for Kernel {
//!     type Geometry = X86_64;
//!     type Page = Page;
//!     type Reclaim = NeverReclaim;
//!     type Array = Array;
//! }
//!
//! /// The place of vmemmap's array. The other models do not use it: `sparsemem::NoArray` is enough for them.
//! struct Array;
//!
//! // SAFETY: nothing else of this program uses these addresses, nor any in the blocks of 512 GiB around them.
//! unsafe impl sparsemem::ArrayPlace for Array {
//!     const START: u64 = 0xffff_ea00_0000_0000;
//!     const BYTES: u64 = 1 << 40;
//!
//!     fn claim() -> &'static PlaceClaim {
//!         static CLAIM: PlaceClaim = PlaceClaim::new();
//!         &CLAIM
//!     }
//! }
//!
//! sparsemem::declare! {
//!     /// The frames of this machine and their descriptors.
//!     static MODEL: Kernel;
//! }
//!
//! assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    docsrs,
    doc = "This documentation shows all models side by side, and `Selected` and `declare!` as `sparse-extreme` alone makes them."
)]

pub use sparsemem_core::*;
pub use sparsemem_usage_map::{Isolation, MigrateType, Pageblock, PageblockError, PageblockModel};

#[cfg(feature = "altmap")]
pub use sparsemem_altmap as altmap;
#[cfg(feature = "classic-sparse")]
pub use sparsemem_classic_sparse as classic_sparse;
#[cfg(feature = "compressed-index")]
pub use sparsemem_compressed_index as compressed_index;
#[cfg(feature = "flat")]
pub use sparsemem_flat as flat;
#[cfg(feature = "sparse-extreme")]
pub use sparsemem_sparse_extreme as sparse_extreme;
#[cfg(feature = "vmemmap")]
pub use sparsemem_vmemmap as vmemmap;

/// The parts of a memory model that the kernel provides.
pub trait Config: 'static {
    /// Sizes of pages, subsections and sections: one of the [`presets`] or the kernel's own.
    type Geometry: Geometry;
    /// The page descriptor: [`Page`] or the kernel's own. `classic-sparse` and `sparse-extreme` get from a descriptor to its
    /// frame by a [`SectionStamp`] in it, so they need one; the other models read none and ask for none. A [`Slot`] gives a
    /// stamp to a type without.
    type Page: PageDescriptor;
    /// The domain that protects readers from removal; [`NeverReclaim`] if memory is never removed.
    type Reclaim: Reclaim;
    /// The place of vmemmap's array. Only vmemmap uses it.
    type Array: ArrayPlace;
}

#[cfg(all(
    feature = "vmemmap",
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))
))]
compile_error!(
    "the feature vmemmap writes page tables, and has no entry format for this target: choose classic-sparse or \
     sparse-extreme, or depend on sparsemem-vmemmap and name a format of your own"
);

// The one place where features choose: `Selected` is an alias, and nothing else depends on the choice.

/// Names the model that the features choose, and the geometry's constant for the length of its table.
#[allow(unused_macros, reason = "with no feature, or several, no model is chosen")]
macro_rules! select {
    ($about:literal, $model:ty, $len:ident) => {
        #[doc = concat!("The model that the features choose: ", $about, ". `N` is [`selected_len`].")]
        pub type Selected<C, const N: usize> = $model;

        /// The length of the table of [`Selected`].
        #[must_use]
        pub const fn selected_len<C: $crate::Config>() -> usize {
            <C::Geometry as sparsemem_core::SectionShape>::$len
        }
    };
}

cfg_if::cfg_if! {
    // Two of them, each line with all that stand above it; or none. Published documentation shows all models, and what
    // one of them makes.
    if #[cfg(all(not(docsrs), any(
        all(feature = "sparse-extreme", feature = "classic-sparse"),
        all(feature = "vmemmap", any(feature = "sparse-extreme", feature = "classic-sparse")),
        all(feature = "flat", any(feature = "vmemmap", feature = "sparse-extreme", feature = "classic-sparse")),
        all(feature = "compressed-index", any(feature = "flat", feature = "vmemmap", feature = "sparse-extreme", feature = "classic-sparse")),
        not(any(feature = "classic-sparse", feature = "sparse-extreme", feature = "vmemmap", feature = "flat", feature = "compressed-index")),
    )))] {
        /// Reports why there is no model to declare: the features choose none, or several.
        #[macro_export]
        macro_rules! declare {
            ($($anything:tt)*) => {
                ::core::compile_error!(
                    "sparsemem::declare! needs exactly one of the features that choose a model, such as sparse-extreme; \
                     `cargo tree -e features -i sparsemem` shows which package enables each of them"
                );
            };
        }
    } else {
        /// Declares a `static` with the model that the features choose, for a [`Config`](crate::Config).
        ///
        /// It takes no space in the image (all zero bytes) and works before any heap exists.
        #[macro_export]
        macro_rules! declare {
            ($(#[$doc:meta])* $vis:vis static $name:ident: $config:ty;) => {
                $(#[$doc])*
                $vis static $name: $crate::Selected<$config, { $crate::selected_len::<$config>() }> =
                    $crate::Selected::<$config, { $crate::selected_len::<$config>() }>::new();
            };
        }


        cfg_if::cfg_if! {
            if #[cfg(all(feature = "classic-sparse", not(docsrs)))] {
                use sparsemem_classic_sparse::ClassicSparse;
                select!("classic-sparse", ClassicSparse<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim, N>, NR_SECTIONS_LEN);
            } else if #[cfg(feature = "sparse-extreme")] {
                use sparsemem_sparse_extreme::SparseExtreme;
                select!("sparse-extreme", SparseExtreme<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim, N>, NR_ROOTS_LEN);
            } else if #[cfg(feature = "flat")] {
                use sparsemem_flat::Flat;
                select!("flat", Flat<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim>, NR_SECTIONS_LEN);
            } else if #[cfg(feature = "compressed-index")] {
                use sparsemem_compressed_index::CompressedIndex;
                select!("compressed-index", CompressedIndex<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim>, NR_SECTIONS_LEN);
            } else if #[cfg(feature = "vmemmap")] {
                use sparsemem_vmemmap::{ConstBase, Vmemmap};
                select!("vmemmap", Vmemmap<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim, ConstBase<<C as Config>::Array>, N>, NR_ROOTS_LEN);
            }
        }
    }
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
