//! Marks on sections that are there: online, offline, shared with a device.
//!
//! # Invariants
//!
//! 1. Only populated subsections are online.
//! 2. A section's word has `ONLINE` exactly while one of its subsections is online.
//! 3. Coming online sets the bit before the flag, going offline clears it after: who sees flag and bit may use both.

use sparsemem_core::{
    FramesError, MarkError, MarkModel, PfnRange, Reclaim, SectionFlags, SectionNr, SubsectionBits, Usage,
};

use crate::table::Entry;
use crate::{Placement, SectionTable, SparseModel};

/// What to mark frames as.
#[derive(Clone, Copy)]
enum Mark {
    Online,
    Offline,
    Tainted,
}

impl<T: SectionTable, S: Placement<T>, R: Reclaim> MarkModel for SparseModel<T, S, R> {
    fn set_online(&self, frames: PfnRange) -> Result<(), MarkError> {
        self.mark(frames, Mark::Online)
    }

    fn set_offline(&self, frames: PfnRange) -> Result<(), MarkError> {
        self.mark(frames, Mark::Offline)
    }

    fn taint(&self, frames: PfnRange) -> Result<(), MarkError> {
        self.mark(frames, Mark::Tainted)
    }
}

impl<T: SectionTable, S, R> SparseModel<T, S, R> {
    /// Marks populated subsections of one section.
    fn mark(&self, frames: PfnRange, mark: Mark) -> Result<(), MarkError> {
        let (section, bits) = FramesError::check::<T::Geometry>(frames)?;
        let _writer = self.writer.take().ok_or(MarkError::Busy)?;
        // SAFETY: this is the model's writer, so roots stay.
        let entry = unsafe { self.table.entry(section) };
        // SAFETY: as above, and usages in entries stay too.
        let usage = entry.and_then(Entry::<T>::usage).map(|usage| unsafe { usage.as_ref() });
        let (Some(entry), Some(usage)) = (entry, usage) else {
            return Err(MarkError::Absent { frames, section, absent: bits });
        };
        check(usage, mark, frames, section, bits)?;
        match mark {
            Mark::Online => set_online::<T>(entry, usage, bits),
            Mark::Offline => set_offline::<T>(entry, usage, bits),
            Mark::Tainted => set_flags::<T>(entry, SectionFlags::TAINT_ZONE_DEVICE),
        }
        Ok(())
    }
}

/// Refuses frames that are absent, or that have the mark already.
fn check<U: Usage>(
    usage: &U,
    mark: Mark,
    frames: PfnRange,
    section: SectionNr,
    bits: SubsectionBits,
) -> Result<(), MarkError> {
    let absent = bits.difference(usage.snapshot());
    if !absent.is_empty() {
        return Err(MarkError::Absent { frames, section, absent });
    }
    let already = match mark {
        Mark::Online => bits.intersection(usage.online()),
        Mark::Offline => bits.difference(usage.online()),
        Mark::Tainted => SubsectionBits::EMPTY,
    };
    if already.is_empty() { Ok(()) } else { Err(MarkError::Already { frames, section, already }) }
}

/// Sets online bits, then the flag.
fn set_online<T: SectionTable>(entry: &Entry<T>, usage: &T::Usage, bits: SubsectionBits) {
    usage.insert_online(bits);
    set_flags::<T>(entry, SectionFlags::ONLINE);
}

/// Clears the flag if no other subsection is online, then the bits.
fn set_offline<T: SectionTable>(entry: &Entry<T>, usage: &T::Usage, bits: SubsectionBits) {
    if bits.contains_all(usage.online()) {
        let word = entry.word();
        entry.set_word(word.with_flags(word.flags() - SectionFlags::ONLINE));
    }
    usage.remove_online(bits);
}

/// Adds flags to the word.
fn set_flags<T: SectionTable>(entry: &Entry<T>, flags: SectionFlags) {
    let word = entry.word();
    entry.set_word(word.with_flags(word.flags() | flags));
}
