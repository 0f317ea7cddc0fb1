//! What a kernel names of its own, once, whichever model it chooses.

use sparsemem_core::{ArrayPlace, Geometry, Reclaim, SectionStamp};

/// The parts of a memory model that are the kernel's.
pub trait Config: 'static {
    /// Sizes of pages, subsections and sections: one of the [`presets`](sparsemem_core::presets) or the kernel's own.
    type Geometry: Geometry;
    /// The page descriptor: [`Page`](sparsemem_core::Page) or the kernel's own.
    type Page: SectionStamp;
    /// How readers are protected from removal; [`NeverReclaim`](sparsemem_core::NeverReclaim) if nothing ever is.
    type Reclaim: Reclaim;
    /// Where vmemmap keeps its array. Only vmemmap asks.
    type Array: ArrayPlace;
}
