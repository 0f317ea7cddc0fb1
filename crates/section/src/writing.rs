//! The writer's token, in the form that tables and placements use.
//!
//! A [`Writer`] is of a whole model; the code of a model has a table and a placement. [`Writing`] is made of the
//! writer, of a turn with it, or of `&mut` of the model, and nothing else, so it proves three things: table and placement belong to one
//! model, no other code changes them, and the usages and memmaps of the table's entries stay until its holder takes
//! them out.
//!
//! # Invariants
//!
//! 1. A `Writing` exists only while the model's writer, or `&mut` of the model, is borrowed for it. Of a writer that is lent
//!    jointly, one at a time is made: it borrows the model's turn.
//! 2. Entries are lent with `&self`, and roots are taken out with `&mut self`: no entry outlives its root.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    LostBlocks, MetadataMemory, NodeId, Origin, PfnRange, Reclaim, SectionFlags, SectionLoss, SectionNr,
    SectionPart, SubsectionBits, Writer, WriterSlot,
};
use sparsemem_usage_map::SectionUsage;

use crate::entry::FreshRoot;
use crate::entry::UsageBlock;
use crate::notes::Notes;
use crate::table::{Entry, Occupied, has_planes};
use crate::validity::Plane;
use crate::word::Alike;
use crate::{Content, Placement, Remains, SectionMemmap, SectionTable, SectionWord, SparseModel};

/// The right to change a table `T` and a placement `S` of one model, lent by the model's [`Writer`].
///
/// Nothing outside of this crate can make one, so a [`Populate`](crate::Populate) can be used by a model's operations
/// only. A placement around another one lends it on by [`Writing::project`].
pub struct Writing<'w, T, S> {
    table: &'w T,
    placement: &'w S,
    shared: Option<&'static WriterSlot>,
    notes: &'w Notes,
}

/// The usage block of a table.
pub(crate) type Usage<T> = UsageBlock<<T as SectionTable>::Page, <T as SectionTable>::Geometry>;

impl<'w, T: SectionTable, S> Writing<'w, T, S> {
    /// The token of a model's writer.
    pub(crate) fn of<R: Reclaim>(writer: &'w mut Writer<'_, SparseModel<T, S, R>>) -> Self
    where
        S: Placement<T>,
    {
        let model = writer.model();
        let (table, placement, notes) = (&model.table, &model.placement, &model.notes);
        Self { table, placement, shared: model.shared_slot(), notes }
    }

    /// The token of a processor that has its turn with a writer that is lent jointly.
    ///
    /// # Safety
    ///
    /// The model is that of a [`JointWriter`](sparsemem_core::JointWriter) that lives for `'w`, and its turn is held for `'w`.
    pub(crate) const unsafe fn in_turn<R>(model: &'w SparseModel<T, S, R>) -> Self {
        let (table, placement, notes) = (&model.table, &model.placement, &model.notes);
        Self { table, placement, shared: model.shared_slot(), notes }
    }

    /// The token of code that has the model for itself.
    pub(crate) const fn exclusive<R>(model: &'w mut SparseModel<T, S, R>) -> Self {
        let (table, placement, notes) = (&model.table, &model.placement, &model.notes);
        Self { table, placement, shared: model.shared_slot(), notes }
    }

    /// The token for a placement inside the placement.
    ///
    /// # Safety
    ///
    /// `part` gives a placement that belongs to this one and is used by nothing else: not, for instance, a `static` that
    /// other models use as well.
    pub unsafe fn project<P: 'w>(&mut self, part: impl FnOnce(&'w S) -> &'w P) -> Writing<'_, T, P> {
        let placement = part(self.placement);
        Writing { table: self.table, placement, shared: self.shared, notes: self.notes }
    }

    /// The writer slot that other models share, if the model was made with one: one of the models at a time changes
    /// their common parts.
    #[must_use]
    pub const fn shared_slot(&self) -> Option<&'static WriterSlot> {
        self.shared
    }

    /// The notes of the model for its next writer.
    pub(crate) const fn notes(&self) -> &'w Notes {
        self.notes
    }

    /// The placement.
    #[must_use]
    pub const fn placement(&self) -> &'w S {
        self.placement
    }

    /// The memmap of a section that has one.
    #[must_use]
    pub fn memmap_of(&self, nr: SectionNr) -> Option<SectionMemmap<T::Page>> {
        let entry = self.entry(nr).filter(|entry| entry.word().has_memmap())?;
        let first = NonNull::new(entry.word().descriptor(nr.first_pfn::<T::Geometry>()?))?;
        Some(SectionMemmap { first, origin: self.usage(entry)?.memmap_origin(), content: Content::MaybeOld })
    }

    /// The first run of valid frames among `frames`, ending at the latest with its section. The frames of a section of boot
    /// count as valid, whatever the rule says: its memmap stays as a whole until the section goes.
    ///
    /// This is how a placement finds out whether memory is still needed: the table knows every valid frame, so no count
    /// can go wrong. Linux marks unused parts of a large leaf with a byte pattern and remembers one unfinished tail in
    /// a global; with small mappings it does not look at all (V-30 to V-38, T-18).
    #[must_use]
    pub fn first_valid(&self, frames: PfnRange) -> Option<PfnRange> {
        let mut rest = frames;
        while !rest.is_empty() {
            let nr = self.next_known(rest.start().section::<T::Geometry>())?;
            let section = nr.frames::<T::Geometry>()?;
            let found = self.first_valid_in(nr, rest.intersection(section));
            if found.is_some() {
                return found;
            }
            rest = rest.split_at(section.end()).1;
        }
        None
    }

    /// The first run of valid frames among `frames` that are not among `except`.
    #[must_use]
    pub fn first_valid_outside(&self, frames: PfnRange, except: PfnRange) -> Option<PfnRange> {
        let before = frames.split_at(except.start()).0;
        self.first_valid(before).or_else(|| self.first_valid(frames.split_at(except.end()).1))
    }

    /// The subsections that stay of a section when `part` of it is retired.
    #[must_use]
    pub fn remains(&self, part: SectionPart) -> Remains {
        let Some(entry) = self.entry(part.section) else { return Remains::Nothing };
        if !self.usage(entry).is_some_and(|usage| usage.contains_others(&part.bits)) {
            Remains::Nothing
        } else if entry.word().flags().contains(SectionFlags::EARLY) {
            Remains::Whole
        } else {
            Remains::Parts
        }
    }

    /// The sections whose memmap is in an altmap, at least in part, lowest first.
    pub fn sections_in_altmaps(&self) -> impl Iterator<Item = (SectionNr, SectionMemmap<T::Page>)> {
        let known =
            core::iter::successors(self.next_known(SectionNr::new(0)), |nr| self.next_known(nr.next()));
        let memmaps = known.filter_map(|nr| Some((nr, self.memmap_of(nr)?)));
        memmaps.filter(|(_, memmap)| memmap.origin == Origin::Altmap)
    }

    /// The first run of valid frames in `part`, which lies in section `nr`.
    fn first_valid_in(&self, nr: SectionNr, part: PfnRange) -> Option<PfnRange> {
        let entry = self.entry(nr)?;
        let word = entry.word();
        if part.is_empty() || !word.has_memmap() {
            return None;
        }
        if word.flags().contains(SectionFlags::EARLY) {
            return Some(part);
        }
        self.usage(entry)?.snapshot().first_run_in::<T::Geometry>(nr, part)
    }

    /// The entry of a section.
    pub(crate) fn entry(&self, nr: SectionNr) -> Option<&Entry<T>> {
        // SAFETY: only the holder of this token takes roots out (invariants 1 and 2).
        unsafe { self.table.entry(nr) }
    }

    /// The usage of an entry, to be changed.
    pub(crate) fn usage<'e>(&'e self, entry: &'e Entry<T>) -> Option<&'e SectionUsage<T::Geometry>> {
        // SAFETY: a usage in an entry is live, and only the holder of this token takes it out (invariant 1).
        entry.usage().map(|block| unsafe { block.as_ref() }.usage())
    }

    /// The first section at or after `from` whose word is not zero.
    pub(crate) fn next_known(&self, from: SectionNr) -> Option<SectionNr> {
        // SAFETY: roots stay meanwhile (invariants 1 and 2).
        unsafe { self.table.next_known(from) }
    }

    /// A root for the entry of a section, if there is none.
    pub(crate) fn prepare<E: MetadataMemory>(
        &self,
        nr: SectionNr,
        node: NodeId,
        env: &mut E,
    ) -> Result<Option<FreshRoot>, SectionLoss> {
        // SAFETY: the holder of this token is the only one that changes the table (invariant 1).
        unsafe { self.table.prepare(nr, node, env) }.map_err(SectionLoss::Root)
    }

    /// The block of the root in which a section has its entry, if there is one.
    pub(crate) fn root_block(&self, nr: SectionNr) -> Option<(NonNull<u8>, Layout, Origin)> {
        // SAFETY: as in `prepare`.
        unsafe { self.table.root_block(nr) }
    }

    /// Makes the prepared root of a section visible.
    pub(crate) fn commit(&self, nr: SectionNr, fresh: Option<FreshRoot>) {
        // SAFETY: as in `prepare`, and a root is made for this section's place only.
        unsafe { self.table.commit(nr, fresh) };
    }

    /// Stores usage and word of a section that becomes known, in this order. In between its valid subsections get into the
    /// plane, if there is one: whoever sees them finds the section in a walk, and whoever sees the word finds them.
    pub(crate) fn publish(
        &self,
        nr: SectionNr,
        entry: &Entry<T>,
        usage: NonNull<Usage<T>>,
        word: SectionWord<T::Page>,
        valid: SubsectionBits,
    ) {
        self.note(nr, Occupied::Yes);
        entry.set_usage(Some(usage));
        if const { has_planes::<T>() } {
            entry.set_word(SectionWord::COMING);
            self.insert(Plane::Valid, nr, valid);
        }
        entry.set_word(word);
    }

    /// Takes the word of a section out of its entry, so that no new reader finds anything of the section. The usage stays for
    /// readers who have seen the word, until [`Writing::forget_usage`].
    pub(crate) fn unpublish(&self, nr: SectionNr, entry: &Entry<T>) {
        if const { has_planes::<T>() } {
            let all = SubsectionBits::full::<T::Geometry>();
            self.remove(Plane::Valid, nr, all);
            self.remove(Plane::Online, nr, all);
        }
        entry.set_word(SectionWord::ABSENT);
        self.note(nr, Occupied::No);
    }

    /// Takes the usage of an unpublished section out of its entry, unless that went with its root. No reader is left who has
    /// seen the section's word.
    pub(crate) fn forget_usage(&self, nr: SectionNr) {
        if let Some(entry) = self.entry(nr) {
            entry.set_usage(None);
        }
    }

    /// Adds subsections to a plane, if there are planes.
    pub(crate) fn insert(&self, plane: Plane, nr: SectionNr, bits: SubsectionBits) {
        // SAFETY: roots stay meanwhile (invariants 1 and 2).
        if let Some(map) = unsafe { self.table.plane(plane, nr) } {
            map.insert(bits);
        }
    }

    /// Removes subsections from a plane, if there are planes.
    pub(crate) fn remove(&self, plane: Plane, nr: SectionNr, bits: SubsectionBits) {
        // SAFETY: as above.
        if let Some(map) = unsafe { self.table.plane(plane, nr) } {
            map.remove(bits);
        }
    }

    /// The word of a section that comes up, all or none of whose populated subsections are online: it says whether they are
    /// alike, if lookups ask the word for that.
    #[inline]
    pub(crate) fn compared_at_first(
        word: SectionWord<T::Page>,
        usage: &SectionUsage<T::Geometry>,
    ) -> SectionWord<T::Page> {
        let compares = const { !has_planes::<T>() };
        if compares && usage.is_full() { word.with_alike(Alike::Yes) } else { word }
    }

    /// The same word, which says whether the subsections of a usage are alike, if lookups ask the word for that.
    pub(crate) fn compared(
        word: SectionWord<T::Page>,
        usage: &SectionUsage<T::Geometry>,
    ) -> SectionWord<T::Page> {
        let compares = const { !has_planes::<T>() };
        word.with_alike(if compares && usage.is_alike() { Alike::Yes } else { Alike::No })
    }

    /// Stores in the word of a section that its subsections are not alike, if lookups ask the word for that.
    pub(crate) fn differ(&self, entry: &Entry<T>) {
        if const { !has_planes::<T>() } {
            entry.set_word(entry.word().with_alike(Alike::No));
        }
    }

    /// Stores in the word of a section whether its subsections are alike, if that has changed.
    pub(crate) fn compare(&self, entry: &Entry<T>, usage: &SectionUsage<T::Geometry>) {
        let word = entry.word();
        let compared = Self::compared(word, usage);
        if compared != word {
            entry.set_word(compared);
        }
    }

    fn note(&self, nr: SectionNr, occupied: Occupied) {
        // SAFETY: as in `prepare`.
        unsafe { self.table.note(nr, occupied) };
    }

    /// Takes the root of a section out of the table, if no section of it is known any more.
    pub(crate) fn unlink_empty_root(&mut self, nr: SectionNr) -> Option<FreshRoot> {
        // SAFETY: as in `prepare`, and no entry is lent (invariant 2). A `FreshRoot` is given back by `unsafe` only.
        unsafe { self.table.unlink_empty_root(nr) }
    }
}

/// A usage without populated subsections, in memory of its own.
pub(crate) fn new_usage<T: SectionTable, E: MetadataMemory>(
    env: &mut E,
    node: NodeId,
) -> Result<NonNull<Usage<T>>, SectionLoss> {
    let block = env.alloc_zeroed(Layout::new::<Usage<T>>(), node).map_err(SectionLoss::Usage)?;
    let usage = block.start().cast::<Usage<T>>();
    // SAFETY: the block is exclusively owned, and large and aligned enough for a usage.
    unsafe { usage.write(UsageBlock::new(block.origin())) };
    Ok(usage)
}

/// Gives back the memory of a usage.
///
/// # Safety
///
/// `usage` is from [`new_usage`], is in no entry, and no reader holds it.
pub(crate) unsafe fn free_usage<T: SectionTable, E: MetadataMemory>(
    env: &mut E,
    usage: NonNull<Usage<T>>,
    lost: &mut LostBlocks,
) {
    // SAFETY: the caller owns the usage.
    let origin = unsafe { usage.as_ref() }.usage().origin();
    // SAFETY: the usage is a block of its own, with the origin that was written into it.
    unsafe { lost.give_back(env, usage.cast(), Layout::new::<Usage<T>>(), origin) };
}
