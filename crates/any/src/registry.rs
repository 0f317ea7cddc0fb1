//! The list of backends, which is the only one: whatever differs from backend to backend in this crate, and the tests on
//! every backend, are made from it.
//!
//! # Invariants
//!
//! 1. A backend is one entry of [`each_backend!`](crate::each_backend), and a dependency of this crate.

/// Calls a macro with all backends: `each_backend!(then { anything })` is `then! { { anything } entries }`.
///
/// An entry is `variant module "name" [type of the model] sections: kind, descriptors: kind;`, with the documentation of
/// the variant before it. The kinds are those of [`Sections`](crate::Sections) and [`Descriptors`](crate::Descriptors).
///
/// ```
/// macro_rules! names {
///     ({ $prefix:literal } $($(#[$doc:meta])* $variant:ident $module:ident $name:literal [$($model:tt)*]
///         sections: $sections:ident, descriptors: $descriptors:ident;)*) => {
///         [$(concat!($prefix, $name)),*]
///     };
/// }
///
/// let names = sparsemem_any::each_backend!(names { "on " });
/// assert_eq!(names.len(), sparsemem_any::Backend::ALL.len());
/// assert_eq!(names[0], "on classic-sparse");
/// ```
#[macro_export]
macro_rules! each_backend {
    ($($then:ident)::+ { $($anything:tt)* }) => {
        $($then)::+! {
            { $($anything)* }
            /// A flat section table; descriptors through the section word.
            ClassicSparse classic_sparse "classic-sparse" [sparsemem_classic_sparse::ClassicSparse<G, P, R, SECTIONS>] sections: Table, descriptors: Blocks;
            /// A two-level section table; descriptors through the section word.
            SparseExtreme sparse_extreme "sparse-extreme" [sparsemem_sparse_extreme::SparseExtreme<G, P, R, ROOTS>] sections: Roots, descriptors: Blocks;
            /// Descriptors in one virtual array on page tables.
            Vmemmap vmemmap "vmemmap" [sparsemem_vmemmap::Vmemmap<G, P, R, DynamicBase, ROOTS>] sections: Roots, descriptors: Window;
            /// One array of descriptors with a bound.
            Flat flat "flat" [sparsemem_flat::Flat<G, P, R>] sections: Records, descriptors: Bounded;
            /// One array of descriptors, numbered without the bits that are zero in all frame numbers.
            CompressedIndex compressed_index "compressed-index" [sparsemem_compressed_index::CompressedIndex<G, P, R>] sections: Records, descriptors: Bounded;
        }
    };
}
