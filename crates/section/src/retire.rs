//! Removal: subsections of any number of sections, after a wait for readers; and the model as a whole.

use sparsemem_core::{
    FramesError, GracePeriod, LostBlocks, MetadataMemory, NoMemmap, NodeId, PfnRange, QuietDescriptors,
    ReadOnlyTails, Reclaim, RefoldError, Refolded, RetireError, RetireModel, Retired, SectionFlags,
    SectionNr, SectionPart, SubsectionBits, TearDownError, Unpublished, Writer, trace_event,
};

use sparsemem_usage_map::SectionUsage;

use crate::memmap::RetiredSections;
use crate::table::is_whole_early;
use crate::validity::Plane;
use crate::{Populate, Remains, SectionTable, SparseModel, Writing, refold};

/// The parts that were unpublished, and whether readers may still hold them.
struct UnpublishedParts<T: SectionTable> {
    sections: RetiredSections<T>,
    /// Frames of sections that stay: at both ends of the range.
    parts: [Option<PfnRange>; 2],
}

impl<T, S, R, E> RetireModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: GracePeriod,
    E: MetadataMemory,
{
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        let mut writing = Writing::of(writer);
        check(&writing, env, frames)?;
        check_altmaps(&writing, env, frames)?;
        check_needed(&writing, env, frames)?;
        // Before anything changes: a listener may unwind.
        trace_event!(DEBUG, "retiring {frames}");
        writing.notes().note_other();
        Ok(retire_checked::<T, S, R, E>(&mut writing, env, frames))
    }

    fn check_retire(writer: &mut Writer<'_, Self>, env: &E, frames: PfnRange) -> Result<(), RetireError> {
        let writing = Writing::of(writer);
        S::check_environment(&writing, env).map_err(|why| RetireError::OtherAddressSpace { frames, why })?;
        check_altmaps(&writing, env, frames)?;
        check_needed(&writing, env, frames)
    }

    fn undo_install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
    ) -> Result<Retired, RetireError> {
        let mut writing = Writing::of(writer);
        check(&writing, env, frames)?;
        if !writing.notes().can_undo::<T::Geometry>(frames) {
            return Err(RetireError::NotInstalled { frames, installed: writing.notes().installed() });
        }
        check_altmaps(&writing, env, frames)?;
        writing.notes().note_undone(frames);
        let retired = retire_checked::<T, S, R, E>(&mut writing, env, frames);
        // After everything: a listener may unwind, and must not refuse an undoing.
        trace_event!(DEBUG, "undid the installation of {frames}");
        Ok(retired)
    }

    fn fold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
        quiet: QuietDescriptors,
    ) -> Result<Refolded, RefoldError> {
        refold::fold(writer, env, frames, node, tails, quiet)
    }

    fn unfold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<Refolded, RefoldError> {
        refold::unfold(writer, env, frames, node)
    }
}

/// Refuses frames of which some are absent or online, and another address space.
#[inline]
fn check<T, S, E>(writing: &Writing<'_, T, S>, env: &E, frames: PfnRange) -> Result<(), RetireError>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    FramesError::check_subsections::<T::Geometry>(frames)?;
    let (first, rest) = SectionPart::first_of::<T::Geometry>(frames);
    check_part(writing, first)?;
    for part in SectionPart::of::<T::Geometry>(rest) {
        check_part(writing, part)?;
    }
    S::check_environment(writing, env).map_err(|why| RetireError::OtherAddressSpace { frames, why })
}

/// Refuses folded frames in a section of boot that stays, because their descriptors stay with it.
#[cold]
fn check_folded<T: SectionTable, S>(
    writing: &Writing<'_, T, S>,
    frames: PfnRange,
) -> Result<(), RetireError> {
    SectionPart::of::<T::Geometry>(frames).try_for_each(|part| {
        let usage = writing.entry(part.section).and_then(|entry| writing.usage(entry));
        let folded = usage.and_then(SectionUsage::folded).map_or(SubsectionBits::EMPTY, |(_, folded)| folded);
        let (SectionPart { section, frames, bits }, remains) = (part, writing.remains(part));
        let folded = folded.intersection(bits);
        if folded.is_empty() || remains != Remains::Whole {
            return Ok(());
        }
        Err(RetireError::Folded { frames, section, folded })
    })
}

/// Refuses an environment without the altmaps that hold descriptors of the frames, and what [`check_folded`] refuses.
fn check_altmaps<T, S, E>(writing: &Writing<'_, T, S>, env: &E, frames: PfnRange) -> Result<(), RetireError>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    if !writing.notes().any_special() {
        return Ok(());
    }
    check_folded(writing, frames)?;
    let other = S::other_altmap(writing, env, frames);
    other.map_or(Ok(()), |memory| Err(RetireError::OtherAltmap { frames, memory }))
}

/// Refuses frames whose memory holds descriptors of frames that stay.
fn check_needed<T, S, E>(writing: &Writing<'_, T, S>, env: &E, frames: PfnRange) -> Result<(), RetireError>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    let may_host = writing.notes().any_special();
    let needed = may_host.then(|| S::needed_by(writing, env, frames)).flatten();
    needed.map_or(Ok(()), |needed_by| Err(RetireError::HoldsMemmap { frames, needed_by }))
}

/// Retires subsections that are all populated and offline.
#[inline]
fn retire_checked<T, S, R, E>(writing: &mut Writing<'_, T, S>, env: &mut E, frames: PfnRange) -> Retired
where
    T: SectionTable,
    S: Populate<T, E>,
    R: GracePeriod,
    E: MetadataMemory,
{
    let mut retired = Retired::default();
    let mut out = UnpublishedParts { sections: RetiredSections::none(), parts: [None; 2] };
    let (first, rest) = SectionPart::first_of::<T::Geometry>(frames);
    unpublish_part(writing, first, &mut out, &mut retired);
    for part in SectionPart::of::<T::Geometry>(rest) {
        unpublish_part(writing, part, &mut out, &mut retired);
    }
    if retired.gone == 0 && out.parts == [None; 2] {
        return retired;
    }
    let out = Unpublished::<R, _>::new(out).after_grace();
    // SAFETY: a grace period has passed since the sections were unpublished.
    unsafe { out.sections.give_back(writing, env, &mut retired.lost) };
    for part in out.parts.into_iter().flatten() {
        if is_early(writing, part) {
            continue;
        }
        // SAFETY: the part's bits are cleared, and a grace period has passed: no reader holds a descriptor of the
        // frames.
        unsafe { S::shrink(writing, env, part, &mut retired.lost) };
    }
    retired
}

/// True if frames lie in a section of boot, whose memmap stays as a whole until the section goes.
fn is_early<T: SectionTable, S>(writing: &Writing<'_, T, S>, part: PfnRange) -> bool {
    if is_whole_early::<T>(SectionFlags::EARLY) {
        // No part of such a section comes here.
        return false;
    }
    let entry = writing.entry(part.start().section::<T::Geometry>());
    entry.is_some_and(|entry| entry.word().flags().contains(SectionFlags::EARLY))
}

/// Refuses a part of which a subsection is absent or online.
#[inline]
fn check_part<T: SectionTable, S>(writing: &Writing<'_, T, S>, part: SectionPart) -> Result<(), RetireError> {
    let SectionPart { section, frames, bits } = part;
    let absent = RetireError::Absent { frames, section, absent: bits };
    let entry = writing.entry(section).ok_or(absent)?;
    let usage = writing.usage(entry).ok_or(absent)?;
    if !usage.contains_all(&bits) || usage.is_any_online(&bits) {
        // A section that boot marked is online, so it always comes here.
        if entry.word().is_deferred() {
            return Err(NoMemmap { frames, section }.into());
        }
        RetireError::check_part(part, usage.snapshot(), usage.online())?;
    }
    Ok(())
}

/// Unpublishes the subsections of a part.
fn unpublish_part<T: SectionTable, S>(
    writing: &mut Writing<'_, T, S>,
    part: SectionPart,
    out: &mut UnpublishedParts<T>,
    retired: &mut Retired,
) {
    let SectionPart { section, frames, bits } = part;
    let Some(entry) = writing.entry(section) else { return };
    let Some(usage) = writing.usage(entry) else { return };
    retired.sections += 1;
    if usage.contains_others(&bits) {
        // Where an early section is valid as a whole, no reader has to be waited for.
        if !is_whole_early::<T>(entry.word().flags()) {
            // Before the usage, which says what is folded for as long as a lookup finds a frame.
            writing.remove(Plane::Valid, section, bits);
            let [first, last] = &mut out.parts;
            *if first.is_none() { first } else { last } = Some(frames);
        }
        usage.remove(bits);
        writing.differ(entry);
        return;
    }
    retired.gone += 1;
    out.sections.unpublish(writing, section, entry);
    out.sections.unlink_root(writing, section);
}

/// Gives back all metadata of a model, without waiting: no other code shares it.
pub(crate) fn tear_down<T, S, R, E>(
    model: &mut SparseModel<T, S, R>,
    env: &mut E,
) -> Result<(), TearDownError>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
{
    let mut losses = Losses::default();
    // `&mut` of this model does not exclude other models that change the same page tables.
    let held = model.shared_slot().map(|slot| slot.hold().ok_or(TearDownError::SharedSlotTaken));
    let _held = held.transpose()?;
    let mut writing = Writing::exclusive(model);
    S::check_environment(&writing, env)?;
    let mut from = SectionNr::new(0);
    while let Some(nr) = writing.next_known(from) {
        let (mut section, mut lost) = (RetiredSections::none(), LostBlocks::default());
        if let Some(entry) = writing.entry(nr) {
            section.unpublish(&writing, nr, entry);
        }
        // SAFETY: `&mut` of the model: no reader is left.
        unsafe { section.give_back(&mut writing, env, &mut lost) };
        losses.add(nr, lost);
        // Not from the start again: empty roots stay until the end, and every search would visit them.
        from = nr.next();
    }
    while let Some((first, root)) = model.table.next_empty_root() {
        let mut lost = LostBlocks::default();
        // SAFETY: as above.
        unsafe { root.give_back(env, &mut lost) };
        losses.add(first, lost);
    }
    model.placement.torn_down();
    model.forget_writers();
    losses.into_result()
}

/// Blocks that were refused on teardown, and the section of the first.
#[derive(Default)]
struct Losses {
    lost: LostBlocks,
    section: Option<SectionNr>,
}

impl Losses {
    fn add(&mut self, section: SectionNr, lost: LostBlocks) {
        self.lost.add(lost);
        if !lost.is_empty() {
            self.section.get_or_insert(section);
        }
    }

    fn into_result(self) -> Result<(), TearDownError> {
        match self.section {
            Some(section) => Err(TearDownError::Lost { lost: self.lost, section }),
            None => Ok(()),
        }
    }
}
