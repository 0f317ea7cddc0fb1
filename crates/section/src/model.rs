//! The model: a table, a placement, and everything that does not depend on which ones they are.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::{
    LookupError, MemoryModel, Pfn, PfnRange, Reclaim, SectionFlags, SectionNr, SectionShape, SectionState,
    SubsectionBits, Usage, ZeroIsNew, const_fn,
};

use crate::table::Entry;
use crate::writer::WriterSlot;
use crate::{Placement, SectionTable, SectionWord};

/// A type with a value to initialise statics with.
pub trait ConstNew {
    /// The value.
    const NEW: Self;
}

/// A memory model: sections indexed by table `T`, descriptors found by placement `S`, readers of domain `R`.
///
/// The backends are aliases of this type. A model belongs in a `static` or in zeroed memory, for its table is large.
#[repr(C)]
pub struct SparseModel<T, S, R> {
    pub(crate) table: T,
    pub(crate) placement: S,
    pub(crate) writer: WriterSlot,
    reclaim: PhantomData<fn() -> R>,
}

impl<T: ConstNew, S: ConstNew, R> SparseModel<T, S, R> {
    const_fn! {
        /// A model without sections.
        #[must_use]
        pub const fn new() -> Self {
            Self::with(T::NEW, S::NEW)
        }
    }
}

// SAFETY: table and placement are as their own impls say, and an untaken writer slot is a zero byte.
unsafe impl<T: ZeroIsNew, S: ZeroIsNew, R> ZeroIsNew for SparseModel<T, S, R> {}

impl<T, S, R> SparseModel<T, S, R> {
    const_fn! {
        /// A model of a table without sections and a placement.
        #[must_use]
        pub const fn with(table: T, placement: S) -> Self {
            Self { table, placement, writer: WriterSlot::new(), reclaim: PhantomData }
        }
    }

    /// The placement: a virtual array is told its base through it.
    pub const fn placement(&self) -> &S {
        &self.placement
    }
}

impl<T: SectionTable, S: Placement<T>, R: Reclaim> SparseModel<T, S, R> {
    /// The entry of a section. The guard keeps the entry's root, and the usage it points to, alive.
    #[inline]
    fn entry<'g>(&'g self, nr: SectionNr, _guard: &'g R::Guard) -> Option<&'g Entry<T>> {
        // SAFETY: the reference lives no longer than the guard.
        unsafe { self.table.entry(nr) }
    }

    /// The first section at or after `from` whose word is not zero.
    fn next_known(&self, from: SectionNr, _guard: &R::Guard) -> Option<SectionNr> {
        // SAFETY: the guard keeps roots alive meanwhile.
        unsafe { self.table.next_known(from) }
    }

    /// The usage of an entry.
    #[inline]
    fn usage<'g>(entry: &'g Entry<T>, _guard: &'g R::Guard) -> Option<&'g T::Usage> {
        // SAFETY: a usage in an entry lives until a grace period after it was taken out, which the guard holds off.
        entry.usage().map(|usage| unsafe { usage.as_ref() })
    }

    /// Whether a frame of a section with this word is valid. Early sections are valid as a whole (O-100).
    #[inline]
    fn covers(entry: &Entry<T>, word: SectionWord<T::Page>, pfn: Pfn, guard: &R::Guard) -> bool {
        word.flags().contains(SectionFlags::EARLY)
            || Self::usage(entry, guard).is_some_and(|usage| usage.contains(pfn.subsection::<T::Geometry>()))
    }

    /// The populated subsections of an entry; all of them for an early section with a memmap.
    fn valid_subsections(entry: &Entry<T>, guard: &R::Guard) -> SubsectionBits {
        let word = entry.word();
        if !word.has_memmap() {
            return SubsectionBits::EMPTY;
        }
        if word.flags().contains(SectionFlags::EARLY) {
            return SubsectionBits::full::<T::Geometry>();
        }
        Self::usage(entry, guard).map_or(SubsectionBits::EMPTY, Usage::snapshot)
    }

    /// The first run of valid frames in `part`, which lies in section `nr`.
    fn first_valid(&self, nr: SectionNr, part: PfnRange, guard: &R::Guard) -> Option<PfnRange> {
        let valid = Self::valid_subsections(self.entry(nr, guard)?, guard);
        let (first, end) = valid.next_run(part.start().subsection::<T::Geometry>())?;
        let base = nr.first_pfn::<T::Geometry>()?.get();
        let frame = |index: u32| Pfn::new(base + (u64::from(index) << T::Geometry::PFN_SUBSECTION_SHIFT));
        let run = PfnRange::new(frame(first.get()), frame(end.get())).ok()?.intersection(part);
        (!run.is_empty()).then_some(run)
    }
}

// SAFETY: (1) `lookup_with` returns a descriptor only for a frame whose section word says there is a memmap and whose
// subsection is populated (or the section early); such a frame's descriptors exist by the contract of `Populate`, and
// are published before the word and the bit (crate invariant 1). (2) They are taken back by `depopulate` only, whose
// callers clear word or bit first and then wait for readers, or have `&mut` of the model. (3) A placement gives
// different frames different descriptors, and those of a subsection one after the other. (4) Validity is kept per
// subsection, or per section.
unsafe impl<T: SectionTable, S: Placement<T>, R: Reclaim> MemoryModel for SparseModel<T, S, R> {
    type Geometry = T::Geometry;
    type Page = T::Page;
    type Reclaim = R;

    fn name(&self) -> &'static str {
        S::NAME
    }

    #[inline]
    fn lookup_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<T::Page>> {
        let entry = self.entry(pfn.section::<T::Geometry>(), guard)?;
        let word = entry.word();
        if !word.has_memmap() || !Self::covers(entry, word, pfn, guard) {
            return None;
        }
        // SAFETY: the word has a memmap, and the frame is a valid one of its section.
        Some(unsafe { self.placement.descriptor(word, pfn) })
    }

    #[inline]
    fn lookup_online_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<T::Page>> {
        let entry = self.entry(pfn.section::<T::Geometry>(), guard)?;
        let word = entry.word();
        if !word.flags().contains(SectionFlags::HAS_MEM_MAP.union(SectionFlags::ONLINE)) {
            return None;
        }
        if !Self::usage(entry, guard)?.is_online(pfn.subsection::<T::Geometry>()) {
            // Without this the compiler works the descriptor out first, to choose without a branch.
            core::hint::cold_path();
            return None;
        }
        // SAFETY: the word has a memmap, and an online frame is a valid one.
        Some(unsafe { self.placement.descriptor(word, pfn) })
    }

    #[inline]
    fn is_valid(&self, pfn: Pfn) -> bool {
        // Not through `lookup`: where the descriptor would be need not be found out.
        let guard = R::enter();
        self.entry(pfn.section::<T::Geometry>(), &guard).is_some_and(|entry| {
            let word = entry.word();
            word.has_memmap() && Self::covers(entry, word, pfn, &guard)
        })
    }

    #[inline]
    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.placement.descriptor_unchecked(&self.table, pfn) }
    }

    #[inline]
    unsafe fn pfn_of(&self, page: NonNull<T::Page>) -> Pfn {
        // SAFETY: the caller's promise is the same.
        unsafe { self.placement.frame(&self.table, page) }
    }

    fn explain(&self, pfn: Pfn, guard: &R::Guard) -> Result<NonNull<T::Page>, LookupError> {
        let section = pfn.section::<T::Geometry>();
        if !section.exists::<T::Geometry>() {
            return Err(LookupError::BeyondMaximum { pfn, last: Pfn::new(T::Geometry::MAX_PFN - 1) });
        }
        let entry = self.entry(section, guard).ok_or(LookupError::AbsentSection { pfn, section })?;
        let word = entry.word();
        if !word.flags().contains(SectionFlags::PRESENT) {
            return Err(LookupError::AbsentSection { pfn, section });
        }
        if !word.has_memmap() {
            return Err(LookupError::NoMemmap { pfn, section });
        }
        if !Self::covers(entry, word, pfn, guard) {
            let subsection = pfn.subsection::<T::Geometry>();
            return Err(LookupError::AbsentSubsection { pfn, section, subsection });
        }
        // SAFETY: as in `lookup_with`.
        Ok(unsafe { self.placement.descriptor(word, pfn) })
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let guard = R::enter();
        let Some(entry) = self.entry(nr, &guard) else { return SectionState::ABSENT };
        let (word, usage) = (entry.word(), Self::usage(entry, &guard));
        SectionState {
            flags: word.flags(),
            early_node: word.early_node(),
            subsections: usage.map_or(SubsectionBits::EMPTY, Usage::snapshot),
            online: usage.map_or(SubsectionBits::EMPTY, Usage::online),
        }
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        let guard = R::enter();
        self.next_known(from, &guard)
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        let guard = R::enter();
        let mut rest = within;
        while !rest.is_empty() {
            let nr = self.next_known(rest.start().section::<T::Geometry>(), &guard)?;
            let frames = nr.frames::<T::Geometry>()?;
            if let Some(run) = self.first_valid(nr, rest.intersection(frames), &guard) {
                return Some(run);
            }
            rest = rest.split_at(frames.end()).1;
        }
        None
    }
}

impl<T: SectionTable, S: Placement<T>, R> fmt::Debug for SparseModel<T, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(S::NAME).finish_non_exhaustive()
    }
}
