//! How readers are protected from removal: guards and grace periods, chosen by type.
//!
//! # Invariants
//!
//! 1. One type is one domain: a guard of another domain does not type-check, so it cannot protect the wrong model.
//! 2. A model whose domain has no [`GracePeriod`] frees nothing while it is shared. Teardown takes `&mut` of the model:
//!    it ends all readers, and bare pointers from guards of the domain with them.

/// A domain of readers.
///
/// # Safety
///
/// While a guard from [`Reclaim::enter`] lives, no [`GracePeriod::synchronize`] of the same domain that started after
/// the guard was made may return. Neither entering nor dropping a guard unwinds.
pub unsafe trait Reclaim: 'static {
    /// Proof that a reader is inside; leaving happens when it is dropped.
    type Guard;

    /// Enters a read-side section. Never waits, and may nest.
    fn enter() -> Self::Guard;
}

/// A domain that can wait until all readers of now have left.
///
/// # Safety
///
/// [`GracePeriod::synchronize`] returns only after every guard that existed when it was called is gone, and whatever
/// those readers did happens before its return. A guard that it did not wait for was made by a reader who sees
/// everything that happened before the call: what was taken out of sight before cannot be found by that reader. (On
/// most processors this needs a full barrier on each side, or an equivalent.) It does not unwind: it waits, or it never
/// returns.
pub unsafe trait GracePeriod: Reclaim {
    /// Waits until every guard that exists now is gone. Deadlocks if the caller holds one.
    fn synchronize();
}

/// The domain of kernels that never remove memory: readers cost nothing, and nothing is ever freed under them.
///
/// It does not implement [`GracePeriod`], and so there is no way to remove memory with it. It will do for readers:
///
/// ```
/// fn needs_readers<R: sparsemem_core::Reclaim>() {}
/// needs_readers::<sparsemem_core::NeverReclaim>();
/// ```
///
/// Waiting for its readers is not:
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
