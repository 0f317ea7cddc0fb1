//! The preparations of a fresh model before its boot, by the kind of its descriptors' place.

use sparsemem_bounded_array::ArrayModel;
use sparsemem_core::Geometry;
use sparsemem_section::{Encoded, SparseModel};
use sparsemem_vmemmap::{DynamicBase, VirtualArray};

/// The parts of a model that a tool has to set up. A model implements what it has.
pub(crate) trait Prepare {
    /// The base of a virtual array, whose place has to be set.
    fn base(&self) -> Option<&DynamicBase> {
        None
    }
}

impl<T, R> Prepare for SparseModel<T, Encoded, R> {}

impl<T, R> Prepare for SparseModel<T, VirtualArray<DynamicBase>, R> {
    fn base(&self) -> Option<&DynamicBase> {
        Some(self.placement().base())
    }
}

impl<G: Geometry, P, R, I> Prepare for ArrayModel<G, P, R, I> {}
