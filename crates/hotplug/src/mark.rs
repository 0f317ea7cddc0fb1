//! The online mark of memory in a model: on every part of a range, or on none.
//!
//! # Invariants
//!
//! 1. Nothing is marked before every part was found to be present and not marked so.
//! 2. After that, marking and its undoing fail only if somebody else works on the same model at that moment; then the
//!    error says what is left.

use sparsemem_core::{FramesError, MarkError, MarkModel, MemoryModel, PfnRange, SectionNr};

use crate::plan::parts_of;
use crate::{Direction, Part};

/// Why memory was not marked online or offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// A section would not change. All marks are as they were.
    #[error("cannot mark {frames}, stopped at section {section}: {why}")]
    Refused {
        /// All frames that were to be marked.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: MarkError,
    },
    /// A section would not change, and another operation of the model stopped the undoing.
    #[error(
        "cannot mark {frames}, stopped at section {section}: {why}; {left} keeps its new mark ({undo}): mark it back \
         when no other operation of this model runs"
    )]
    Stuck {
        /// All frames that were to be marked.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: MarkError,
        /// The frames that are marked.
        left: PfnRange,
        /// What stopped the undoing.
        undo: MarkError,
    },
}

/// Marks whole subsections of any number of sections as online or offline.
///
/// Source: Linux `online_mem_sections`, `offline_mem_sections` (O-90).
///
/// # Errors
///
/// [`SwitchError`], naming range, section and cause.
pub(crate) fn switch<M: MarkModel>(model: &M, frames: PfnRange, to: Direction) -> Result<(), SwitchError> {
    check_switch(model, frames, to)?;
    for part in parts_of::<M::Geometry>(frames) {
        if let Err(why) = mark(model, part, to) {
            return Err(undo(model, frames, to, part, why));
        }
    }
    Ok(())
}

/// Marks frames without looking first and without undoing: for going on where an undoing stopped. Returns what is left.
pub(crate) fn resume<M: MarkModel>(
    model: &M,
    frames: PfnRange,
    to: Direction,
) -> (PfnRange, Result<(), SwitchError>) {
    for part in parts_of::<M::Geometry>(frames) {
        if let Err(why) = mark(model, part, to) {
            let rest = frames.split_at(part.frames.start()).1;
            return (rest, Err(SwitchError::Refused { frames: rest, section: part.section, why }));
        }
    }
    (PfnRange::empty_at(frames.end()), Ok(()))
}

/// Refuses frames of which some are absent, or are marked so already.
pub(crate) fn check_switch<M: MemoryModel>(
    model: &M,
    frames: PfnRange,
    to: Direction,
) -> Result<(), SwitchError> {
    for part in parts_of::<M::Geometry>(frames) {
        check_part(model, part, to).map_err(|why| SwitchError::Refused {
            frames,
            section: part.section,
            why,
        })?;
    }
    Ok(())
}

fn check_part<M: MemoryModel>(model: &M, part: Part, to: Direction) -> Result<(), MarkError> {
    let frames = part.frames;
    let (section, bits) = FramesError::check::<M::Geometry>(frames)?;
    let state = model.section(section);
    let absent = bits.difference(state.subsections);
    if !absent.is_empty() {
        return Err(MarkError::Absent { frames, section, absent });
    }
    let already = match to {
        Direction::Online => bits.intersection(state.online),
        Direction::Offline => bits.difference(state.online),
    };
    if already.is_empty() { Ok(()) } else { Err(MarkError::Already { frames, section, already }) }
}

fn mark<M: MarkModel>(model: &M, part: Part, to: Direction) -> Result<(), MarkError> {
    match to {
        Direction::Online => model.set_online(part.frames),
        Direction::Offline => model.set_offline(part.frames),
    }
}

/// Takes the marks back that were set before `failed`, and makes the error.
fn undo<M: MarkModel>(
    model: &M,
    frames: PfnRange,
    to: Direction,
    failed: Part,
    why: MarkError,
) -> SwitchError {
    let section = failed.section;
    for part in parts_of::<M::Geometry>(frames).take_while(|part| part.section < section) {
        if let Err(undo) = mark(model, part, to.back()) {
            let left = frames.split_at(failed.frames.start()).0.split_at(part.frames.start()).1;
            return SwitchError::Stuck { frames, section, why, left, undo };
        }
    }
    SwitchError::Refused { frames, section, why }
}
