//! The traits that a crate implements so that its model can be walked.

use sparsemem_any::{AnyModel, Backend, any_model};
use sparsemem_core::{CompleteModel, Geometry};

use crate::environment::{Descriptor, Environment, Metadata, Place, Readers};
use crate::shape::{Pair, Quad, Triple};

/// A model on a tiny geometry. An implementation for every [`Geometry`] makes a model [`Walked`].
pub trait On<G: Geometry> {
    /// The model.
    type Model: CompleteModel<Environment, Geometry = G, Page = Descriptor>;

    /// A fresh model, which is not booted. A model with a virtual array reserves its place; others ignore it.
    fn fresh(&self, place: Place) -> Self::Model;
}

/// A model that can be walked: it can be made on each of the tiny geometries.
///
/// ```
/// use sparsemem_core::Geometry;
/// use sparsemem_exhaustive::{Descriptor, Metadata, On, Place, Readers, Walked};
/// use sparsemem_flat::Flat;
///
/// /// The model that a crate defines; here one of this workspace.
/// struct Mine;
///
/// impl<G: Geometry> On<G> for Mine {
///     type Model = Flat<G, Descriptor, Readers>;
///
///     fn fresh(&self, _: Place) -> Self::Model {
///         Flat::new()
///     }
/// }
///
/// impl Walked for Mine {
///     fn name(&self) -> &'static str {
///         "mine"
///     }
/// }
///
/// sparsemem_exhaustive::check(Mine);
/// ```
pub trait Walked: On<Pair> + On<Triple> + On<Quad> {
    /// The name of the model in reports.
    fn name(&self) -> &'static str;

    /// The metadata that the model allocates.
    fn metadata(&self) -> Metadata {
        Metadata::NotCompared
    }
}

impl Walked for Backend {
    fn name(&self) -> &'static str {
        (*self).name()
    }

    fn metadata(&self) -> Metadata {
        match (self.is_sparse(), self.has_roots(), self.has_array()) {
            (false, ..) => Metadata::OneBlock,
            (true, false, _) => Metadata::PerSection,
            (true, true, false) => Metadata::PerSectionAndRoot,
            (true, true, true) => Metadata::PerSectionRootAndPage,
        }
    }
}

macro_rules! on {
    ($($geometry:ident)*) => {$(
        impl On<$geometry> for Backend {
            type Model = any_model!($geometry, Descriptor, Readers);

            fn fresh(&self, place: Place) -> Self::Model {
                let model = AnyModel::new(*self);
                if let Some(base) = model.array_base() {
                    // SAFETY: the base is part of the model that was just made.
                    unsafe { place.reserve(base) };
                }
                model
            }
        }
    )*};
}

on! { Pair Triple Quad }
