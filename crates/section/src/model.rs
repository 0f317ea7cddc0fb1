//! The model: a table, a placement, and all code that does not depend on their types.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::{
    EarlyFrames, Folded, Footprint, LookupError, MemoryModel, Pfn, PfnRange, Reclaim, SectionFlags,
    SectionNr, SectionShape, SectionState, SubsectionBits, WriterSlot, ZeroIsNew, const_fn,
};
use sparsemem_usage_map::SectionUsage;

use crate::notes::Notes;
use crate::table::{Entry, has_planes, is_whole, opaque, valid_subsections};
use crate::validity::{Plane, Validity, ValidityRule};
use crate::writing::Usage;
use crate::{Placement, SectionTable, SectionWord};

/// Called in a branch that is seldom taken; [`core::hint`] has a function of this name from Rust 1.95 on.
#[cold]
#[inline]
const fn cold_path() {}

/// A type with a value to initialise statics with.
pub trait ConstNew {
    /// The value.
    const NEW: Self;
}

/// A memory model: sections indexed by table `T`, descriptors found by placement `S`, readers of domain `R`.
///
/// The backends are aliases of this type. A model belongs in a `static` or in zeroed memory, for its table is large.
///
/// ```
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn, SectionShape};
/// use sparsemem_section::{Encoded, RootedTable, SparseModel};
///
/// type Table = RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }>;
///
/// /// What the crate `sparsemem-sparse-extreme` calls `SparseExtreme`.
/// static MODEL: SparseModel<Table, Encoded, NeverReclaim> = SparseModel::new();
///
/// assert_eq!(MODEL.name(), "sparse-extreme");
/// assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
/// ```
#[repr(C)]
pub struct SparseModel<T, S, R> {
    pub(crate) table: T,
    pub(crate) placement: S,
    writer: WriterSlot,
    /// The slot that replaces `writer`, for models that share page tables.
    shared: Option<&'static WriterSlot>,
    pub(crate) notes: Notes,
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

// SAFETY: table, placement and notes are as their own impls say, an untaken writer slot is zero bytes, and no reference is
// null.
unsafe impl<T: ZeroIsNew, S: ZeroIsNew, R> ZeroIsNew for SparseModel<T, S, R> {}

impl<T, S, R> SparseModel<T, S, R> {
    const_fn! {
        /// A model of a table without sections and a placement.
        #[must_use]
        pub const fn with(table: T, placement: S) -> Self {
            Self::with_slot(table, placement, None)
        }
    }

    const_fn! {
        /// The same model with a writer slot that other models share: a writer of one excludes writers of all.
        ///
        /// For virtual arrays whose places share page tables below the top level: each place names the slot
        /// ([`ArrayPlace::shared_writer`](sparsemem_core::ArrayPlace::shared_writer)), and a model with another slot
        /// does not get the place. The slot is a `static` of its own, not that of one of the models, which would not
        /// know that it is shared.
        ///
        /// A writer that is forgotten (`core::mem::forget`) keeps the slot for ever: none of its models can be written to or torn
        /// down any more. A model with a slot of its own can still be torn down: with `&mut` of it there is no writer left.
        #[must_use]
        pub const fn with_shared_writer(table: T, placement: S, writer: &'static WriterSlot) -> Self {
            Self::with_slot(table, placement, Some(writer))
        }
    }

    const_fn! {
        const fn with_slot(table: T, placement: S, shared: Option<&'static WriterSlot>) -> Self {
            let (writer, notes) = (WriterSlot::new(), Notes::new());
            Self { table, placement, writer, shared, notes, reclaim: PhantomData }
        }
    }

    /// The placement. A shared reference permits only the changes that the placement's own methods make: a virtual
    /// array gets its place so ([`Populate`](crate::Populate) needs a token that only operations of the model
    /// make).
    pub const fn placement(&self) -> &S {
        &self.placement
    }

    /// Prepares the model for its next writer: frees its own slot from a writer that was forgotten (with `&mut` of the
    /// model no writer is left), and clears the notes of earlier writers.
    pub(crate) fn forget_writers(&mut self) {
        self.writer = WriterSlot::new();
        self.notes = Notes::new();
    }

    /// The slot that other models share, if there is one.
    pub(crate) const fn shared_slot(&self) -> Option<&'static WriterSlot> {
        self.shared
    }
}

impl<T: SectionTable, S: Placement<T>, R: Reclaim> SparseModel<T, S, R> {
    /// The entry of a section. The guard keeps the entry's root, and the usage it points to, alive.
    #[inline]
    pub(crate) fn entry<'g>(&'g self, nr: SectionNr, _guard: &'g R::Guard) -> Option<&'g Entry<T>> {
        // SAFETY: the reference lives no longer than the guard.
        unsafe { self.table.entry(nr) }
    }

    /// The first section at or after `from` whose word is not zero.
    fn next_known(&self, from: SectionNr, _guard: &R::Guard) -> Option<SectionNr> {
        // SAFETY: the guard keeps roots alive meanwhile.
        unsafe { self.table.next_known(from) }
    }

    /// The usage of an entry.
    ///
    /// # Safety
    ///
    /// The word of the entry was seen to have a memmap, or the plane of valid frames a bit of the section, within the same
    /// guard.
    #[inline]
    pub(crate) unsafe fn usage<'g>(
        entry: &'g Entry<T>,
        _guard: &'g R::Guard,
    ) -> &'g SectionUsage<T::Geometry> {
        // SAFETY: a section with a memmap has a usage, from before flag and plane are set until a grace period after they are not,
        // which the guard holds off (entry, invariant 2).
        let block = unsafe { entry.usage().unwrap_unchecked() };
        // SAFETY: as above.
        unsafe { block.as_ref() }.usage()
    }

    /// The word of the section of a frame that is valid, or online; [`SectionWord::ABSENT`] if the placement needs none.
    #[inline]
    fn find(&self, plane: Plane, pfn: Pfn, guard: &R::Guard) -> Option<SectionWord<T::Page>> {
        if const { has_planes::<T>() } {
            return self.find_in_plane(plane, pfn, guard);
        }
        let nr = Self::section_of(pfn);
        let entry = self.entry(nr, guard)?;
        let word = entry.word();
        let found = match plane {
            Plane::Valid => Self::covers(entry, word, pfn, guard),
            Plane::Online => Self::covers_online(entry, word, pfn, guard),
        };
        found.then_some(word)
    }

    /// The section of a frame, for one lookup: see [`opaque`].
    #[inline]
    fn section_of(pfn: Pfn) -> SectionNr {
        SectionNr::new(opaque(pfn.section::<T::Geometry>().get()))
    }

    /// The same, where lookups read planes.
    #[inline]
    fn find_in_plane(&self, plane: Plane, pfn: Pfn, guard: &R::Guard) -> Option<SectionWord<T::Page>> {
        let nr = Self::section_of(pfn);
        // SAFETY: the map is used while the guard is held.
        let map = unsafe { self.table.plane(plane, nr) }?;
        if !map.contains(pfn.subsection::<T::Geometry>()) {
            // Without this the compiler computes the descriptor first, to choose without a branch.
            cold_path();
            return None;
        }
        if !S::READS_WORD {
            return Some(SectionWord::ABSENT);
        }
        // The word may be gone already: it is cleared after the bit, before the writer waits for readers.
        Some(self.entry(nr, guard)?.word()).filter(|word| word.has_memmap())
    }

    /// True if a frame of a section with this word is valid, where lookups read words. Under Linux' rule early sections
    /// are valid as a whole (O-100).
    #[inline]
    fn covers(entry: &Entry<T>, word: SectionWord<T::Page>, pfn: Pfn, guard: &R::Guard) -> bool {
        // SAFETY: the word has a memmap.
        let usage = || unsafe { Self::usage(entry, guard) };
        word.has_memmap() && (is_whole::<T>(word) || usage().contains(pfn.subsection::<T::Geometry>()))
    }

    /// True if a frame of a section with this word is online, where lookups read words.
    #[inline]
    fn covers_online(entry: &Entry<T>, word: SectionWord<T::Page>, pfn: Pfn, guard: &R::Guard) -> bool {
        if !word.flags().contains(SectionFlags::HAS_MEM_MAP.union(SectionFlags::ONLINE)) {
            return false;
        }
        // SAFETY: the word has a memmap.
        let usage = || unsafe { Self::usage(entry, guard) };
        if !word.is_alike() && !usage().is_online(pfn.subsection::<T::Geometry>()) {
            // As in `find_in_plane`.
            cold_path();
            return false;
        }
        true
    }

    /// The first run of valid frames in `part`, which lies in section `nr`.
    fn first_valid(&self, nr: SectionNr, part: PfnRange, guard: &R::Guard) -> Option<PfnRange> {
        let entry = self.entry(nr, guard)?;
        // SAFETY: called only if the word of the entry has a memmap.
        let usage = || Some(unsafe { Self::usage(entry, guard) });
        // SAFETY: the guard keeps roots alive meanwhile.
        unsafe { valid_subsections(&self.table, nr, entry, usage) }.first_run_in::<T::Geometry>(nr, part)
    }
}

// SAFETY: (1) `lookup_with` returns a descriptor only for a frame of which a plane says that it is valid, or a section word
// with a memmap and the subsection's bit (or a word that covers all subsections); such a frame's descriptors exist by the
// contract of `Populate`, and are published before word, bit and plane (crate invariant 1). (2) They are taken back by
// `depopulate` and `shrink` only, whose callers clear plane, word or bit first and then wait for readers, or have `&mut` of
// the model. (3) A placement gives
// different frames different descriptors, and those of a subsection one after the other. (4) Validity is kept per
// subsection, or per section. (5) The writer slot is chosen when the model is made; table and placement are private, and
// all that changes them takes a `Writing`, which is made of a writer or of `&mut` of the model.
unsafe impl<T: SectionTable, S: Placement<T>, R: Reclaim> MemoryModel for SparseModel<T, S, R> {
    type Geometry = T::Geometry;
    type Page = T::Page;
    type Reclaim = R;

    fn name(&self) -> &'static str {
        S::NAME
    }

    fn early_frames(&self) -> EarlyFrames {
        <<T::Validity as Validity<T::Geometry>>::Rule as ValidityRule>::EARLY
    }

    #[inline]
    fn lookup_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<T::Page>> {
        let word = self.find(Plane::Valid, pfn, guard)?;
        // SAFETY: the frame is valid, and the word is that of its section, if the placement reads it.
        Some(unsafe { self.placement.descriptor(word, pfn) })
    }

    #[inline]
    fn lookup_online_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<T::Page>> {
        let word = self.find(Plane::Online, pfn, guard)?;
        // SAFETY: an online frame is valid; the rest as in `lookup_with`.
        Some(unsafe { self.placement.descriptor(word, pfn) })
    }

    #[inline]
    fn is_valid(&self, pfn: Pfn) -> bool {
        self.find(Plane::Valid, pfn, &R::enter()).is_some()
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
        let subsection = pfn.subsection::<T::Geometry>();
        self.lookup_with(pfn, guard).ok_or(LookupError::AbsentSubsection { pfn, section, subsection })
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let guard = R::enter();
        let Some(entry) = self.entry(nr, &guard) else { return SectionState::ABSENT };
        let word = entry.word();
        // SAFETY: called only if the word has a memmap.
        let usage = word.has_memmap().then(|| unsafe { Self::usage(entry, &guard) });
        SectionState {
            flags: word.flags(),
            early_node: word.early_node(),
            subsections: usage.map_or(SubsectionBits::EMPTY, SectionUsage::snapshot),
            online: usage.map_or(SubsectionBits::EMPTY, SectionUsage::online),
        }
    }

    fn folded(&self, nr: SectionNr, guard: &R::Guard) -> Option<Folded> {
        let own = S::OWN_IN_COMPOUND?;
        let entry = self.entry(nr, guard)?;
        // SAFETY: the map is used while the guard is held.
        let plane = unsafe { self.table.plane(Plane::Valid, nr) };
        let is_found = plane.map_or_else(|| entry.word().has_memmap(), |valid| !valid.snapshot().is_empty());
        // SAFETY: lookups find a frame of the section, by its word or by its plane.
        let usage = is_found.then(|| unsafe { Self::usage(entry, guard) });
        let (order, subsections) = usage?.folded()?;
        Some(Folded { order, own, subsections })
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

    fn writer_slot(&self) -> &WriterSlot {
        self.shared.unwrap_or(&self.writer)
    }

    fn footprint(&self) -> Footprint {
        let (mut sections, mut deferred) = (0, 0);
        for nr in self.present_sections() {
            sections += 1;
            deferred += u64::from(self.section(nr).is_deferred());
        }
        Footprint {
            table_bytes: self.table.bytes(),
            plane_bytes: self.table.plane_bytes(),
            usage_bytes: sections * size_of::<Usage<T>>() as u64,
            ..self.placement.footprint(sections - deferred)
        }
    }
}

impl<T: SectionTable, S: Placement<T>, R> fmt::Debug for SparseModel<T, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(S::NAME).finish_non_exhaustive()
    }
}
