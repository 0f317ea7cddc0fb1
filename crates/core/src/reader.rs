//! Readers: guards and grace periods, chosen by type, protect them from removal, and they look frames up.
//!
//! # Invariants
//!
//! 1. One type is one domain: a guard of another domain does not type-check, so it cannot protect the wrong model.
//! 2. A model whose domain has no [`GracePeriod`] frees nothing while it is shared. Teardown takes `&mut` of the model:
//!    it ends all readers, and bare pointers from guards of the domain with them.
//! 3. Values that readers may hold are [`Unpublished`] until a grace period has passed.
//! 4. A [`Reader`] holds a guard of its own model's domain from its making to its drop, so whatever it found stays
//!    mapped.
//! 5. A [`StaticReader`] is of a model that lives as long as the program, in a domain without grace periods: its
//!    descriptors stay for ever.

use core::fmt;
use core::marker::PhantomData;

use crate::{LookupError, MemoryModel, Pfn};

/// A domain of readers.
///
/// ```
/// use core::sync::atomic::{AtomicUsize, Ordering};
/// use sparsemem_core::{GracePeriod, Reclaim, Unpublished};
///
/// /// Readers that are inside, of a kernel with few processors.
/// static INSIDE: AtomicUsize = AtomicUsize::new(0);
///
/// struct Counted;
///
/// struct Inside;
///
/// impl Drop for Inside {
///     fn drop(&mut self) {
///         // Release: what the reader did happens before the end of a grace period.
///         INSIDE.fetch_sub(1, Ordering::Release);
///     }
/// }
///
/// // SAFETY: the count is not zero while a guard lives, and `synchronize` waits for zero.
/// unsafe impl Reclaim for Counted {
///     type Guard = Inside;
///
///     fn enter() -> Inside {
///         // SeqCst: either this reader sees what was unpublished before a grace period, or that one sees the reader.
///         INSIDE.fetch_add(1, Ordering::SeqCst);
///         Inside
///     }
/// }
///
/// // SAFETY: as above.
/// unsafe impl GracePeriod for Counted {
///     fn synchronize() {
///         core::sync::atomic::fence(Ordering::SeqCst);
///         while INSIDE.load(Ordering::SeqCst) != 0 {
///             core::hint::spin_loop();
///         }
///     }
/// }
///
/// let guard = Counted::enter();
/// let unpublished = Unpublished::<Counted, _>::new("a memmap");
/// drop(guard);
/// assert_eq!(unpublished.after_grace(), "a memmap");
/// ```
///
/// # Safety
///
/// While a guard from [`Reclaim::enter`] lives, no [`GracePeriod::synchronize`] of the same domain that started after
/// the guard was made may return. Neither entering nor dropping a guard unwinds.
pub unsafe trait Reclaim: 'static {
    /// Proof that a reader is inside; dropping it ends reading.
    type Guard;

    /// Starts a reader. Never waits, and may nest.
    fn enter() -> Self::Guard;
}

/// A domain that can wait until all current readers have left. [`Reclaim`] has an example.
///
/// # Safety
///
/// [`GracePeriod::synchronize`] returns only after every guard that existed when it was called is gone, and whatever
/// those readers did happens before its return. A guard that it did not wait for belongs to a reader that sees
/// everything that happened before the call: that reader cannot find a value that was unpublished before. (On most
/// processors this needs a full barrier on each side, or an equivalent.) It does not unwind: it waits, or it never
/// returns.
pub unsafe trait GracePeriod: Reclaim {
    /// Waits until every guard that exists now is gone. Deadlocks if the caller holds one.
    fn synchronize();
}

/// A value that was unpublished, so that no new reader finds it, and that readers of domain `R` may still hold.
///
/// Waiting for them is the only access to the value while the model is shared, so that nothing is freed too early:
///
/// ```
/// use sparsemem_core::{GracePeriod, Unpublished};
///
/// fn free<R: GracePeriod>(memmap: Unpublished<R, Box<[u64]>>) {
///     drop(memmap.after_grace());
/// }
/// ```
///
/// A domain without grace periods cannot free the value:
///
/// ```compile_fail
/// use sparsemem_core::{NeverReclaim, Unpublished};
///
/// fn free(memmap: Unpublished<NeverReclaim, Box<[u64]>>) {
///     drop(memmap.after_grace());
/// }
/// ```
#[must_use = "an unpublished value has to be given back"]
pub struct Unpublished<R, T> {
    value: T,
    domain: PhantomData<fn() -> R>,
}

impl<R, T> Unpublished<R, T> {
    /// Wraps a value that no new reader can find.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { value, domain: PhantomData }
    }

    /// Waits for the current readers, and returns the value, which no reader can hold any more.
    #[inline]
    pub fn after_grace(self) -> T
    where
        R: GracePeriod,
    {
        R::synchronize();
        self.value
    }
}

/// The domain of kernels that never remove memory: readers cost nothing, and nothing they use is ever freed.
///
/// It does not implement [`GracePeriod`], so memory cannot be removed with it. It is enough for readers:
///
/// ```
/// fn needs_readers<R: sparsemem_core::Reclaim>() {}
/// needs_readers::<sparsemem_core::NeverReclaim>();
/// ```
///
/// It cannot wait for its readers:
///
/// ```compile_fail
/// fn needs_grace_period<R: sparsemem_core::GracePeriod>() {}
/// needs_grace_period::<sparsemem_core::NeverReclaim>();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NeverReclaim;

// SAFETY: there is no `GracePeriod` for this domain, so no synchronize exists that could return too early.
unsafe impl Reclaim for NeverReclaim {
    type Guard = ();

    #[inline]
    fn enter() -> Self::Guard {}
}

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
/// The page cannot outlive the reader:
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

    /// The guard.
    pub(crate) const fn guard(&self) -> &<M::Reclaim as Reclaim>::Guard {
        &self.guard
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

    /// The head of the folded compound of a frame, and the descriptor of that; the frame itself if it is in none.
    ///
    /// [`Reader::page`] gives a tail the descriptor that it shares with others, which says nothing of its compound.
    ///
    /// # Cost
    ///
    /// That of [`Reader::page`], and a look at the section's usage.
    #[doc(alias = "compound_head")]
    #[must_use]
    pub fn head(&self, pfn: Pfn) -> Option<(Pfn, &M::Page)> {
        // A frame that is not valid has no head, although its compound may still have one.
        let _ = self.page(pfn)?;
        let folded = self.model.folded(pfn.section::<M::Geometry>(), &self.guard);
        let head = folded.and_then(|folded| folded.head_of::<M::Geometry>(pfn)).unwrap_or(pfn);
        Some((head, self.page(head)?))
    }

    /// Like [`Reader::page`], but says why there is no descriptor.
    ///
    /// # Errors
    ///
    /// [`LookupError`], naming the frame and the missing part.
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

/// Looks frames up in a model that never loses one, and lends descriptors for as long as the program runs.
///
/// It is for kernels that keep `&'static` references to their frames' descriptors, with a model in a `static` whose
/// domain is [`NeverReclaim`].
///
/// ```
/// use sparsemem_core::{MemoryModel, NeverReclaim, Pfn, StaticReader};
///
/// fn frame<M: MemoryModel<Reclaim = NeverReclaim>>(model: &'static M, pfn: Pfn) -> Option<&'static M::Page> {
///     StaticReader::new(model).page(pfn)
/// }
/// ```
///
/// A model that can be torn down lends nothing for ever:
///
/// ```compile_fail
/// # use sparsemem_core::{MemoryModel, NeverReclaim, Pfn, StaticReader};
/// fn frame<M: MemoryModel<Reclaim = NeverReclaim>>(model: &M, pfn: Pfn) -> Option<&'static M::Page> {
///     StaticReader::new(model).page(pfn)
/// }
/// ```
///
/// And so does one from which memory can be removed:
///
/// ```compile_fail
/// # use sparsemem_core::{GracePeriod, MemoryModel, Pfn, StaticReader};
/// fn frame<M: MemoryModel<Reclaim: GracePeriod>>(model: &'static M, pfn: Pfn) -> Option<&'static M::Page> {
///     StaticReader::new(model).page(pfn)
/// }
/// ```
pub struct StaticReader<M: 'static>(&'static M);

impl<M> Clone for StaticReader<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for StaticReader<M> {}

impl<M: MemoryModel<Reclaim = NeverReclaim>> StaticReader<M> {
    /// A reader of the model; it costs nothing.
    #[inline]
    #[must_use]
    pub const fn new(model: &'static M) -> Self {
        Self(model)
    }

    /// The descriptor of a frame, or `None` if it has none.
    ///
    /// # Cost
    ///
    /// That of [`MemoryModel::lookup_with`]; the reader itself adds nothing.
    #[inline]
    #[must_use]
    pub fn page(self, pfn: Pfn) -> Option<&'static M::Page> {
        let found = self.0.lookup_with(pfn, &())?;
        // SAFETY: (1) the model's contract: the descriptor is mapped, aligned and initialised until a grace period after
        // its retirement, or until a teardown; (2) the domain has no grace period, and the borrow of the model, which
        // never ends, keeps a teardown out, which takes `&mut`; (3) `Page: Sync` and only shared references are made.
        Some(unsafe { found.as_ref() })
    }

    /// The descriptor of a frame that is online, or `None`.
    ///
    /// # Cost
    ///
    /// That of [`MemoryModel::lookup_online_with`].
    #[inline]
    #[must_use]
    pub fn online_page(self, pfn: Pfn) -> Option<&'static M::Page> {
        let found = self.0.lookup_online_with(pfn, &())?;
        // SAFETY: as in `page`.
        Some(unsafe { found.as_ref() })
    }
}

impl<M: MemoryModel> fmt::Debug for StaticReader<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticReader").field("model", &self.0.name()).finish()
    }
}
