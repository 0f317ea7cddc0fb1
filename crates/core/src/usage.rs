//! What a section table asks of a usage, without knowing the type.
//!
//! The section crate stores usages and the usage-map crate defines them; neither depends on the other.

use crate::{Geometry, Origin, SubsectionBits, SubsectionIdx};

/// The per-section record of populated subsections.
///
/// Methods take `&self`, because readers look while the one writer works.
///
/// # Safety
///
/// A usage has exactly the bits that were inserted and not removed since, and returns the origins that it was given:
/// lookups follow a set bit to memory, and memory is given back to its origin. Whoever sees a bit also sees what was
/// written before it was inserted: inserting is a Release, looking an Acquire.
pub unsafe trait Usage: Send + Sync + 'static {
    /// The geometry whose subsections it records.
    type Geometry: Geometry;

    /// A usage without any populated subsection, living in memory from `origin`.
    fn new(origin: Origin) -> Self;

    /// Where the memory of this usage goes back to.
    fn origin(&self) -> Origin;

    /// Where the section's memmap goes back to, for models that allocate it as one block.
    fn memmap_origin(&self) -> Origin;

    /// Writes down where the section's memmap came from.
    fn set_memmap_origin(&self, origin: Origin);

    /// Whether a subsection is populated. On the path of checked lookups.
    ///
    /// # Cost
    ///
    /// One load.
    fn contains(&self, index: SubsectionIdx) -> bool;

    /// Adds populated subsections, which may be there already; for the writer of the model.
    fn insert(&self, bits: SubsectionBits);

    /// Takes populated subsections out, which may be absent already; for the writer of the model.
    fn remove(&self, bits: SubsectionBits);

    /// Whether a subsection is online: populated, and its frames in the hands of the page allocator.
    ///
    /// # Cost
    ///
    /// One load.
    fn is_online(&self, index: SubsectionIdx) -> bool;

    /// Marks subsections as online; for the writer of the model.
    fn insert_online(&self, bits: SubsectionBits);

    /// Marks subsections as offline; for the writer of the model.
    fn remove_online(&self, bits: SubsectionBits);

    /// The online subsections, as a value.
    fn online(&self) -> SubsectionBits;

    /// The populated subsections, as a value.
    fn snapshot(&self) -> SubsectionBits;
}
