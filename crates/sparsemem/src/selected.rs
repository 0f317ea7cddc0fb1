//! The one place where features choose: `Selected` is an alias, and nothing else depends on the choice.

cfg_if::cfg_if! {
    if #[cfg(all(feature = "classic-sparse", not(feature = "sparse-extreme"), not(feature = "vmemmap")))] {
        use sparsemem_core::SectionShape;
        use crate::Config;

        /// The model that the features choose: classic-sparse. `N` is [`selected_len`].
        pub type Selected<C, const N: usize> = sparsemem_classic_sparse::ClassicSparse<
            <C as Config>::Geometry,
            <C as Config>::Page,
            <C as Config>::Reclaim,
            N,
        >;

        /// The length of the table of [`Selected`].
        #[must_use]
        pub const fn selected_len<C: Config>() -> usize {
            C::Geometry::NR_SECTIONS_LEN
        }
    } else if #[cfg(all(feature = "sparse-extreme", not(feature = "classic-sparse"), not(feature = "vmemmap")))] {
        use sparsemem_core::SectionShape;
        use crate::Config;

        /// The model that the features choose: sparse-extreme. `N` is [`selected_len`].
        pub type Selected<C, const N: usize> = sparsemem_sparse_extreme::SparseExtreme<
            <C as Config>::Geometry,
            <C as Config>::Page,
            <C as Config>::Reclaim,
            N,
        >;

        /// The length of the table of [`Selected`].
        #[must_use]
        pub const fn selected_len<C: Config>() -> usize {
            C::Geometry::NR_ROOTS_LEN
        }
    } else if #[cfg(all(feature = "vmemmap", not(feature = "classic-sparse"), not(feature = "sparse-extreme")))] {
        use sparsemem_core::SectionShape;
        use crate::Config;

        /// The model that the features choose: vmemmap. `N` is [`selected_len`].
        pub type Selected<C, const N: usize> = sparsemem_vmemmap::Vmemmap<
            <C as Config>::Geometry,
            <C as Config>::Page,
            <C as Config>::Reclaim,
            sparsemem_vmemmap::ConstBase<<C as Config>::Array>,
            N,
        >;

        /// The length of the table of [`Selected`].
        #[must_use]
        pub const fn selected_len<C: Config>() -> usize {
            C::Geometry::NR_ROOTS_LEN
        }
    }
}

cfg_if::cfg_if! {
    if #[cfg(any(
        all(feature = "classic-sparse", feature = "sparse-extreme"),
        all(feature = "classic-sparse", feature = "vmemmap"),
        all(feature = "sparse-extreme", feature = "vmemmap"),
        not(any(feature = "classic-sparse", feature = "sparse-extreme", feature = "vmemmap")),
    ))] {
        /// Says why there is no model to declare: the features choose none, or several.
        #[macro_export]
        macro_rules! declare {
            ($($anything:tt)*) => {
                ::core::compile_error!(
                    "sparsemem::declare! needs exactly one of the features classic-sparse, sparse-extreme and vmemmap; \
                     `cargo tree -e features -i sparsemem` shows who enables which"
                );
            };
        }
    } else {
        /// Declares a `static` with the model that the features choose, for a [`Config`](crate::Config).
        ///
        /// It costs no room in the image (all zero bytes) and works before any heap exists.
        #[macro_export]
        macro_rules! declare {
            ($(#[$doc:meta])* $vis:vis static $name:ident: $config:ty;) => {
                $(#[$doc])*
                $vis static $name: $crate::Selected<$config, { $crate::selected_len::<$config>() }> =
                    $crate::Selected::<$config, { $crate::selected_len::<$config>() }>::new();
            };
        }
    }
}
