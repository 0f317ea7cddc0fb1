//! Memory goes from a model: every part of a range, or none.
//!
//! # Invariants
//!
//! 1. Nothing is retired before every part was found to be present and offline.
//! 2. After that, retiring fails only if somebody else works on the same model at that moment. Then the error says
//!    from where on to go on; what is gone cannot come back, for a section of boot is made at boot only.

use core::fmt;

use sparsemem_core::{
    ForeignBlock, FramesError, MemoryModel, PfnRange, RetireError, RetireModel, Retired, SectionNr,
};

use crate::plan::parts_of;
use crate::{Part, Plan};

/// Why memory was not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// A section would not let its part go. Everything is as it was.
    #[error("cannot remove {frames}, stopped at section {section}: {why}")]
    Refused {
        /// All frames that were to be removed.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: RetireError,
    },
    /// Another operation of the model came between.
    #[error(
        "removed {frames} only up to section {section}: {why}; remove {rest} when no other operation of this model \
         runs{}",
        Loss(removed.refused)
    )]
    Interrupted {
        /// All frames that were to be removed.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: RetireError,
        /// The frames that are still there.
        rest: PfnRange,
        /// What became of the others.
        removed: Removed,
    },
}

/// What became of the metadata of removed memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that somebody should hear of"]
pub struct Removed {
    /// Sections that lost a part, or all of them.
    pub sections: u64,
    /// How many metadata blocks the environment refused; they are lost.
    pub refused: u64,
    /// The first of them.
    pub first_refused: Option<ForeignBlock>,
}

impl Removed {
    /// Adds a section.
    fn count(&mut self, retired: Retired) {
        self.sections += 1;
        self.refused += retired.refused;
        self.first_refused = self.first_refused.or(retired.first_refused);
    }
}

/// What an error says of metadata blocks that the environment refused: nothing, if there are none.
pub(crate) struct Loss(pub(crate) u64);

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            lost => {
                write!(f, "; {lost} metadata blocks were not taken back and are lost: check the provider")
            }
        }
    }
}

/// Removes every part of a plan from a model, and waits for readers.
///
/// Source: Linux `__remove_pages`. Differs from Linux: what is absent or online is an error and stops everything before
/// the first change (T-29); there it is a warning, after some sections have gone (H-04).
///
/// # Errors
///
/// [`RemoveError`], naming range, section and cause.
pub fn remove<M, E>(model: &M, env: &mut E, plan: &Plan<M::Geometry>) -> Result<Removed, RemoveError>
where
    M: RetireModel<E>,
{
    remove_frames(model, env, plan.frames())
}

/// Removes whole subsections, which a plan has checked.
pub(crate) fn remove_frames<M, E>(model: &M, env: &mut E, frames: PfnRange) -> Result<Removed, RemoveError>
where
    M: RetireModel<E>,
{
    for part in parts_of::<M::Geometry>(frames) {
        check_removable(model, part).map_err(|why| RemoveError::Refused {
            frames,
            section: part.section,
            why,
        })?;
    }
    let mut removed = Removed::default();
    for part in parts_of::<M::Geometry>(frames) {
        match model.retire(env, part.frames) {
            Ok(retired) => removed.count(retired),
            Err(why) => return Err(stopped(frames, part, why, removed)),
        }
    }
    Ok(removed)
}

/// The error for a removal that stopped at `part`.
fn stopped(frames: PfnRange, part: Part, why: RetireError, removed: Removed) -> RemoveError {
    let (section, rest) = (part.section, frames.split_at(part.frames.start()).1);
    if rest == frames {
        return RemoveError::Refused { frames, section, why };
    }
    RemoveError::Interrupted { frames, section, why, rest, removed }
}

/// Refuses a part that is not all there, or not all offline.
fn check_removable<M: MemoryModel>(model: &M, part: Part) -> Result<(), RetireError> {
    let frames = part.frames;
    let (section, bits) = FramesError::check::<M::Geometry>(frames)?;
    let state = model.section(section);
    let (absent, online) = (bits.difference(state.subsections), bits.intersection(state.online));
    if !absent.is_empty() {
        return Err(RetireError::Absent { frames, section, absent });
    }
    if !online.is_empty() {
        return Err(RetireError::Online { frames, section, online });
    }
    Ok(())
}
