//! The only place where features choose: `Selected` is an alias, and no other code depends on the choice.

use cfg_if::cfg_if;

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

cfg_if! {
    if #[cfg(any(
        all(feature = "classic-sparse", feature = "sparse-extreme"),
        all(feature = "classic-sparse", feature = "vmemmap"),
        all(feature = "sparse-extreme", feature = "vmemmap"),
        not(any(feature = "classic-sparse", feature = "sparse-extreme", feature = "vmemmap")),
    ))] {
        /// Reports why there is no model to declare: the features choose none, or several.
        #[macro_export]
        macro_rules! declare {
            ($($anything:tt)*) => {
                ::core::compile_error!(
                    "sparsemem::declare! needs exactly one of the features classic-sparse, sparse-extreme and vmemmap; \
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

        use crate::Config;

        cfg_if! {
            if #[cfg(feature = "classic-sparse")] {
                use sparsemem_classic_sparse::ClassicSparse;
                select!("classic-sparse", ClassicSparse<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim, N>, NR_SECTIONS_LEN);
            } else if #[cfg(feature = "sparse-extreme")] {
                use sparsemem_sparse_extreme::SparseExtreme;
                select!("sparse-extreme", SparseExtreme<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim, N>, NR_ROOTS_LEN);
            } else {
                use sparsemem_vmemmap::{ConstBase, Vmemmap};
                select!("vmemmap", Vmemmap<<C as Config>::Geometry, <C as Config>::Page, <C as Config>::Reclaim, ConstBase<<C as Config>::Array>, N>, NR_ROOTS_LEN);
            }
        }
    }
}
