//! A model that is busy on command, as if somebody else worked on it at that moment.

use core::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{
    InstallError, InstallModel, LookupError, MarkError, MarkModel, MemoryModel, NodeId, Pfn, PfnRange,
    Reclaim, RetireError, RetireModel, Retired, SectionNr, SectionState,
};

type Guard<M> = <<M as MemoryModel>::Reclaim as Reclaim>::Guard;

/// A model that refuses some of the calls that change it.
pub struct Flaky<M: 'static> {
    inner: &'static M,
    calls: AtomicU64,
    busy_from: AtomicU64,
    busy_to: AtomicU64,
}

impl<M> Flaky<M> {
    pub fn new(inner: &'static M) -> Self {
        let never = AtomicU64::new(u64::MAX);
        Self { inner, calls: AtomicU64::new(0), busy_from: never, busy_to: AtomicU64::new(u64::MAX) }
    }

    /// Is busy after `granted` more calls, `times` times.
    pub fn busy_after(&self, granted: u64, times: u64) {
        let from = self.calls.load(Ordering::Relaxed) + granted;
        self.busy_from.store(from, Ordering::Relaxed);
        self.busy_to.store(from.saturating_add(times), Ordering::Relaxed);
    }

    pub fn heal(&self) {
        self.busy_from.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether a call was refused since the last command.
    pub fn was_busy(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.busy_from.load(Ordering::Relaxed)
    }

    fn call<E>(&self, busy: E) -> Result<&'static M, E> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let refused =
            self.busy_from.load(Ordering::Relaxed) <= call && call < self.busy_to.load(Ordering::Relaxed);
        if refused { Err(busy) } else { Ok(self.inner) }
    }
}

// SAFETY: every method forwards to the model behind the reference, whose implementor made the promise.
unsafe impl<M: MemoryModel> MemoryModel for Flaky<M> {
    type Geometry = M::Geometry;
    type Page = M::Page;
    type Reclaim = M::Reclaim;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn lookup_with(&self, pfn: Pfn, guard: &Guard<Self>) -> Option<NonNull<Self::Page>> {
        self.inner.lookup_with(pfn, guard)
    }

    fn lookup_online_with(&self, pfn: Pfn, guard: &Guard<Self>) -> Option<NonNull<Self::Page>> {
        self.inner.lookup_online_with(pfn, guard)
    }

    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<Self::Page> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.lookup_unchecked(pfn) }
    }

    unsafe fn pfn_of(&self, page: NonNull<Self::Page>) -> Pfn {
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.pfn_of(page) }
    }

    fn explain(&self, pfn: Pfn, guard: &Guard<Self>) -> Result<NonNull<Self::Page>, LookupError> {
        self.inner.explain(pfn, guard)
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        self.inner.section(nr)
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        self.inner.next_present(from)
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        self.inner.next_valid(within)
    }
}

impl<M: InstallModel<E>, E> InstallModel<E> for Flaky<M> {
    fn install(&self, env: &mut E, frames: PfnRange, node: NodeId) -> Result<(), InstallError> {
        self.call(InstallError::Busy)?.install(env, frames, node)
    }
}

impl<M: RetireModel<E>, E> RetireModel<E> for Flaky<M> {
    fn retire(&self, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        self.call(RetireError::Busy)?.retire(env, frames)
    }
}

impl<M: MarkModel> MarkModel for Flaky<M> {
    fn set_online(&self, frames: PfnRange) -> Result<(), MarkError> {
        self.call(MarkError::Busy)?.set_online(frames)
    }

    fn set_offline(&self, frames: PfnRange) -> Result<(), MarkError> {
        self.call(MarkError::Busy)?.set_offline(frames)
    }

    fn taint(&self, frames: PfnRange) -> Result<(), MarkError> {
        self.call(MarkError::Busy)?.taint(frames)
    }
}
