//! Marks on populated subsections: online, offline, shared with a device.
//!
//! # Invariants
//!
//! 1. Only populated subsections are online.
//! 2. A section's word has `ONLINE` exactly while one of its subsections is online.
//! 3. Going online sets the bit before the flag, going offline clears it after: a reader that sees flag and bit may use
//!    both. A word says that subsections are alike only while they are: going offline takes that back first.

use sparsemem_core::{
    FramesError, Mark, MarkError, MarkModel, NoMemmap, PfnRange, Reclaim, SectionFlags, SectionPart,
    SubsectionBits, Writer,
};
use sparsemem_usage_map::SectionUsage;

use crate::table::Entry;
use crate::validity::Plane;
use crate::word::Alike;
use crate::{Placement, SectionTable, SparseModel, Writing};

impl<T: SectionTable, S: Placement<T>, R: Reclaim> MarkModel for SparseModel<T, S, R> {
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        mark(&Writing::of(writer), frames, Mark::Online)
    }

    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        mark(&Writing::of(writer), frames, Mark::Offline)
    }

    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        mark(&Writing::of(writer), frames, Mark::Shared)
    }
}

/// Marks populated subsections: all of them, or none.
fn mark<T: SectionTable, S>(
    writing: &Writing<'_, T, S>,
    frames: PfnRange,
    mark: Mark,
) -> Result<(), MarkError> {
    FramesError::check_subsections::<T::Geometry>(frames)?;
    let none = (SubsectionBits::EMPTY, SubsectionBits::EMPTY);
    for part in SectionPart::of::<T::Geometry>(frames) {
        let entry = writing.entry(part.section);
        if entry.is_some_and(|entry| entry.word().is_deferred()) {
            return Err(NoMemmap { frames: part.frames, section: part.section }.into());
        }
        let usage = entry.and_then(|entry| writing.usage(entry));
        let (populated, online) = usage.map_or(none, |usage| (usage.snapshot(), usage.online()));
        MarkError::check_part(part, mark, populated, online)?;
    }
    for part in SectionPart::of::<T::Geometry>(frames) {
        let Some(entry) = writing.entry(part.section) else { continue };
        let Some(usage) = writing.usage(entry) else { continue };
        match mark {
            Mark::Online => set_online(writing, entry, usage, part),
            Mark::Offline => set_offline(writing, entry, usage, part),
            Mark::Shared => set_flags::<T>(entry, SectionFlags::TAINT_ZONE_DEVICE),
        }
    }
    Ok(())
}

/// Sets online bits, then the flag.
fn set_online<T: SectionTable, S>(
    writing: &Writing<'_, T, S>,
    entry: &Entry<T>,
    usage: &SectionUsage<T::Geometry>,
    part: SectionPart,
) {
    usage.insert_online(part.bits);
    let word = entry.word();
    let online = word.with_flags(word.flags() | SectionFlags::ONLINE);
    // One store: with the flag alone, subsections that are alike would all seem to be online.
    entry.set_word(Writing::<T, S>::compared(online, usage));
    writing.insert(Plane::Online, part.section, part.bits);
}

/// Clears the flag if no other subsection is online, then the bits.
fn set_offline<T: SectionTable, S>(
    writing: &Writing<'_, T, S>,
    entry: &Entry<T>,
    usage: &SectionUsage<T::Geometry>,
    part: SectionPart,
) {
    writing.remove(Plane::Online, part.section, part.bits);
    let mut word = entry.word().with_alike(Alike::No);
    if part.bits.contains_all(usage.online()) {
        word = word.with_flags(word.flags() - SectionFlags::ONLINE);
    }
    entry.set_word(word);
    usage.remove_online(part.bits);
    writing.compare(entry, usage);
}

/// Adds flags to the word.
fn set_flags<T: SectionTable>(entry: &Entry<T>, flags: SectionFlags) {
    let word = entry.word();
    entry.set_word(word.with_flags(word.flags() | flags));
}
