//! A model that refuses marks on command. A model of this workspace does not: it has no reason left once the frames were
//! checked. Others may have reasons of their own.

use core::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{
    Footprint, FramesError, InstallError, InstallModel, LookupError, MarkError, MarkModel, MemoryModel,
    NodeId, Pfn, PfnRange, Reclaim, RetireError, RetireModel, Retired, SectionNr, SectionState, Writer,
    WriterSlot,
};

type Guard<M> = <<M as MemoryModel>::Reclaim as Reclaim>::Guard;

/// A model behind a reference. It has the same writer slot.
pub struct Refusing<M: 'static> {
    inner: &'static M,
    /// How many more marks are granted; then one is refused.
    granted: AtomicU64,
}

/// Nothing is going to be refused.
const NEVER: u64 = u64::MAX;

impl<M> Refusing<M> {
    pub const fn new(inner: &'static M) -> Self {
        Self { inner, granted: AtomicU64::new(NEVER) }
    }

    /// Refuses one call that marks frames, after `granted` others.
    pub fn refuse_mark_after(&self, granted: u64) {
        self.granted.store(granted, Ordering::Relaxed);
    }

    /// Refuses nothing any more, and says whether what was to be refused was.
    pub fn heal(&self) -> bool {
        self.granted.swap(NEVER, Ordering::Relaxed) == NEVER
    }

    /// Whether the mark that is asked for now is refused. The error is one that hotplug excludes before it asks.
    fn check_mark(&self, frames: PfnRange) -> Result<(), MarkError> {
        match self.granted.load(Ordering::Relaxed) {
            NEVER => Ok(()),
            0 => {
                self.granted.store(NEVER, Ordering::Relaxed);
                Err(MarkError::Frames(FramesError::Empty { frames }))
            }
            left => {
                self.granted.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

// SAFETY: every method forwards to the model behind the reference, whose implementor made the promise.
unsafe impl<M: MemoryModel> MemoryModel for Refusing<M> {
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

    fn writer_slot(&self) -> &WriterSlot {
        self.inner.writer_slot()
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }
}

impl<M: InstallModel<E>, E> InstallModel<E> for Refusing<M> {
    fn install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<(), InstallError> {
        let inner = writer.model().inner;
        writer.project(inner).install(env, frames, node)
    }
}

impl<M: RetireModel<E>, E> RetireModel<E> for Refusing<M> {
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        let inner = writer.model().inner;
        writer.project(inner).retire(env, frames)
    }
}

impl<M: MarkModel> MarkModel for Refusing<M> {
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        writer.model().check_mark(frames)?;
        let inner = writer.model().inner;
        writer.project(inner).set_online(frames)
    }

    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        writer.model().check_mark(frames)?;
        let inner = writer.model().inner;
        writer.project(inner).set_offline(frames)
    }

    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        writer.model().check_mark(frames)?;
        let inner = writer.model().inner;
        writer.project(inner).taint(frames)
    }
}
