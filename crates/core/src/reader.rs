//! A reader of a model: lookups whose results are references.
//!
//! # Invariants
//!
//! 1. A reader holds a guard of its own model's domain from its making to its drop, so whatever it found stays mapped.

use core::fmt;

use crate::{LookupError, MemoryModel, Pfn, Reclaim};

/// Looks frames up and lends their descriptors.
///
/// A page may be used for as long as the reader that found it:
///
/// ```
/// # use sparsemem_core::{MemoryModel, Pfn, Reader};
/// fn borrow<'r, M: MemoryModel>(reader: &'r Reader<'_, M>) -> Option<&'r M::Page> {
///     reader.page(Pfn::new(1))
/// }
/// ```
///
/// It cannot outlive it:
///
/// ```compile_fail
/// # use sparsemem_core::{MemoryModel, Pfn};
/// fn escape<'m, M: MemoryModel>(model: &'m M) -> Option<&'m M::Page> {
///     let reader = model.read();
///     reader.page(Pfn::new(1))
/// }
/// ```
#[must_use = "pages are protected only while the reader lives"]
pub struct Reader<'m, M: MemoryModel> {
    model: &'m M,
    guard: <M::Reclaim as Reclaim>::Guard,
}

impl<'m, M: MemoryModel> Reader<'m, M> {
    /// Starts reading.
    #[inline]
    pub(crate) fn new(model: &'m M) -> Self {
        Self { model, guard: M::Reclaim::enter() }
    }

    /// The descriptor of a frame, or `None` if it has none.
    ///
    /// # Cost
    ///
    /// That of [`MemoryModel::lookup_with`]; the reader itself adds nothing.
    #[inline]
    #[must_use]
    pub fn page(&self, pfn: Pfn) -> Option<&M::Page> {
        let found = self.model.lookup_with(pfn, &self.guard)?;
        // SAFETY: (1) the model's contract: the descriptor is mapped, aligned and initialised until a grace period
        // after its retirement; (2) `self.guard` holds such a grace period off until `self`, which the reference
        // borrows, is gone; (3) `Page: Sync` and only shared references are made.
        Some(unsafe { found.as_ref() })
    }

    /// The descriptor of a frame that is online, or `None`.
    ///
    /// # Cost
    ///
    /// That of [`MemoryModel::lookup_online_with`].
    #[inline]
    #[must_use]
    pub fn online_page(&self, pfn: Pfn) -> Option<&M::Page> {
        let found = self.model.lookup_online_with(pfn, &self.guard)?;
        // SAFETY: as in `page`.
        Some(unsafe { found.as_ref() })
    }

    /// Like [`Reader::page`], but says why there is no descriptor.
    ///
    /// # Errors
    ///
    /// [`LookupError`], naming the frame and what is missing.
    pub fn explain(&self, pfn: Pfn) -> Result<&M::Page, LookupError> {
        let found = self.model.explain(pfn, &self.guard)?;
        // SAFETY: as in `page`.
        Ok(unsafe { found.as_ref() })
    }
}

impl<M: MemoryModel> fmt::Debug for Reader<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("model", &self.model.name()).finish_non_exhaustive()
    }
}
