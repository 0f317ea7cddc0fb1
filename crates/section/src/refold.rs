//! Folding and unfolding of memory that is up: what the table knows of it. The placement moves the descriptors.
//!
//! # Invariants
//!
//! 1. A tail shares its descriptor only while the usage of its section says so: that says so before the first descriptor moves,
//!    and until the last has moved back. In between is a grace period: whoever asked before (`initialise`, `reset`) has
//!    finished writing.
//! 2. No subsection of a range is folded before a fold, so that undoing it is to say of none that it is.
//! 3. A grace period has passed since the last compound of a section was unfolded: no reader combines it with the order of the
//!    next.

use sparsemem_core::{
    CompoundOrder, FoldError, FramesError, GracePeriod, LostBlocks, NoMemmap, NodeId, Origin, PfnRange,
    QuietDescriptors, ReadOnlyTails, RefoldError, Refolded, SectionFlags, SectionPart, SubsectionBits,
    Writer, trace_event,
};
use sparsemem_usage_map::SectionUsage;

use crate::{FoldRequest, Moved, Placement, Populate, SectionTable, SparseModel, Writing};

/// [`RetireModel::fold`](sparsemem_core::RetireModel::fold).
pub(crate) fn fold<T, S, R, E>(
    writer: &mut Writer<'_, SparseModel<T, S, R>>,
    env: &mut E,
    frames: PfnRange,
    node: NodeId,
    tails: ReadOnlyTails,
    quiet: QuietDescriptors,
) -> Result<Refolded, RefoldError>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: GracePeriod,
{
    let mut writing = Writing::of(writer);
    let order = tails.order();
    check_compounds::<T, S>(frames, order)?;
    check_parts(&writing, frames, |part, usage| check_unfolded(part, usage, order))?;
    begin(&writing, env, frames)?;
    trace_event!(DEBUG, "folding {frames}");
    let (mut lost, mut is_announced) = (LostBlocks::default(), false);
    let announce = &mut |writing: &Writing<'_, T, S>| {
        each_usage(writing, frames, |usage, bits| usage.insert_folded(order, bits));
        is_announced = true;
        R::synchronize();
    };
    let request = FoldRequest { frames, node, order, quiet };
    match S::fold(&mut writing, env, &request, announce, &mut lost) {
        Ok(moved) => Ok(noted(&writing, moved, lost)),
        Err(why) => {
            if is_announced {
                forget::<T, S, R>(&writing, frames);
            }
            Err(with_lost(why, lost))
        }
    }
}

/// [`RetireModel::unfold`](sparsemem_core::RetireModel::unfold).
pub(crate) fn unfold<T, S, R, E>(
    writer: &mut Writer<'_, SparseModel<T, S, R>>,
    env: &mut E,
    frames: PfnRange,
    node: NodeId,
) -> Result<Refolded, RefoldError>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: GracePeriod,
{
    let mut writing = Writing::of(writer);
    S::OWN_IN_COMPOUND.ok_or(FoldError::Unsupported)?;
    check_parts(&writing, frames, check_folded)?;
    begin(&writing, env, frames)?;
    trace_event!(DEBUG, "unfolding {frames}");
    let mut lost = LostBlocks::default();
    let moved = S::unfold(&mut writing, env, frames, node, &mut lost);
    let moved = moved.map_err(|why| with_lost(why, lost))?;
    forget::<T, S, R>(&writing, frames);
    Ok(noted(&writing, moved, lost))
}

/// Refuses compounds whose tails cannot share descriptors: they are too small, or `S` cannot fold.
pub(crate) fn check_size<T: SectionTable, S: Placement<T>>(order: CompoundOrder) -> Result<(), FoldError> {
    let own = S::OWN_IN_COMPOUND.ok_or(FoldError::Unsupported)?;
    if order.frames() <= own { Err(FoldError::TooSmall { order, own }) } else { Ok(()) }
}

/// Refuses frames that are not whole compounds and whole subsections.
fn check_compounds<T, S>(frames: PfnRange, order: CompoundOrder) -> Result<(), RefoldError>
where
    T: SectionTable,
    S: Placement<T>,
{
    check_size::<T, S>(order)?;
    FramesError::check_subsections::<T::Geometry>(frames)?;
    let is_whole = [frames.start(), frames.end()].iter().all(|pfn| order.head_of(*pfn) == *pfn);
    if is_whole { Ok(()) } else { Err(FoldError::Unaligned { frames, order }.into()) }
}

/// Checks the subsections of each section, all of which have to be populated.
fn check_parts<T: SectionTable, S>(
    writing: &Writing<'_, T, S>,
    frames: PfnRange,
    check: impl Fn(SectionPart, &SectionUsage<T::Geometry>) -> Result<(), RefoldError>,
) -> Result<(), RefoldError> {
    FramesError::check_subsections::<T::Geometry>(frames)?;
    SectionPart::of::<T::Geometry>(frames).try_for_each(|part| {
        let SectionPart { section, frames, bits } = part;
        let absent = RefoldError::Absent { frames, section, absent: bits };
        let entry = writing.entry(section).ok_or(absent)?;
        let usage = writing.usage(entry).ok_or(absent)?;
        if entry.word().is_deferred() {
            return Err(NoMemmap { frames, section }.into());
        }
        if !usage.contains_all(&bits) {
            let absent = bits.difference(usage.snapshot());
            return Err(RefoldError::Absent { frames, section, absent });
        }
        check(part, usage)
    })
}

/// Refuses a part of which a subsection is folded, or another of its section in another order.
fn check_unfolded<G: sparsemem_core::Geometry>(
    part: SectionPart,
    usage: &SectionUsage<G>,
    order: CompoundOrder,
) -> Result<(), RefoldError> {
    let SectionPart { section, frames, bits } = part;
    let Some((other, all)) = usage.folded() else { return Ok(()) };
    let folded = all.intersection(bits);
    if !folded.is_empty() {
        return Err(RefoldError::Folded { frames, section, folded });
    }
    if other == order { Ok(()) } else { Err(FoldError::OtherOrder { section, order: other }.into()) }
}

/// Refuses a part of which a subsection is not folded.
fn check_folded<G: sparsemem_core::Geometry>(
    part: SectionPart,
    usage: &SectionUsage<G>,
) -> Result<(), RefoldError> {
    let SectionPart { section, frames, bits } = part;
    let folded = usage.folded().map_or(SubsectionBits::EMPTY, |(_, folded)| folded);
    let unfolded = bits.difference(folded);
    if unfolded.is_empty() { Ok(()) } else { Err(RefoldError::NotFolded { frames, section, unfolded }) }
}

/// Refuses another address space, and notes that the last installation is not the last operation any more.
fn begin<T, S, E>(writing: &Writing<'_, T, S>, env: &E, frames: PfnRange) -> Result<(), RefoldError>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    S::check_environment(writing, env).map_err(|why| RefoldError::OtherAddressSpace { frames, why })?;
    let mut sections = SectionPart::of::<T::Geometry>(frames).filter_map(|part| writing.entry(part.section));
    if sections.any(|entry| entry.word().flags().contains(SectionFlags::EARLY)) {
        writing.notes().note_folded_early();
    }
    writing.notes().note_other();
    Ok(())
}

/// Says of no frame that it is folded any more, and waits for readers that were told so.
fn forget<T: SectionTable, S, R: GracePeriod>(writing: &Writing<'_, T, S>, frames: PfnRange) {
    each_usage(writing, frames, SectionUsage::remove_folded);
    R::synchronize();
}

/// Notes where descriptors lie now.
fn noted<T: SectionTable, S>(writing: &Writing<'_, T, S>, moved: Moved, lost: LostBlocks) -> Refolded {
    if moved.has_altmap {
        writing.notes().note_origin(Origin::Altmap);
        each_usage(writing, moved.frames, |usage, _| usage.set_memmap_origin(Origin::Altmap));
    }
    Refolded { given_back: moved.given_back, taken: moved.taken, lost }
}

/// Calls `act` with the usage of every known section of `frames`, and with the subsections of it that are among them.
fn each_usage<T: SectionTable, S>(
    writing: &Writing<'_, T, S>,
    frames: PfnRange,
    mut act: impl FnMut(&SectionUsage<T::Geometry>, SubsectionBits),
) {
    for part in SectionPart::of::<T::Geometry>(frames) {
        let usage = writing.entry(part.section).and_then(|entry| writing.usage(entry));
        if let Some(usage) = usage {
            act(usage, part.bits);
        }
    }
}

/// The error, with the blocks that were lost.
fn with_lost(mut why: RefoldError, all: LostBlocks) -> RefoldError {
    if let RefoldError::Differs { lost, .. } | RefoldError::NoMetadata { lost, .. } = &mut why {
        *lost = all;
    }
    why
}
