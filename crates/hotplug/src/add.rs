//! Memory comes to a model: every part of a plan, or none.
//!
//! # Invariants
//!
//! 1. Nothing is installed before every part was looked at.
//! 2. When a part fails, the parts before it are retired again. Retiring what was just installed fails only if
//!    somebody else works on the same model at that moment; then the error says what is left.

use sparsemem_core::{
    ForeignBlock, FramesError, InstallError, InstallModel, MemoryModel, PfnRange, RetireError, RetireModel,
    SectionNr,
};

use crate::remove::Loss;
use crate::{Part, Plan};

/// Why memory was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// A section would not take its part. Everything is as it was.
    #[error("cannot add {frames}, stopped at section {section}: {why}")]
    Refused {
        /// All frames that were to be added.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: InstallError,
    },
    /// A section would not take its part, and another operation of the model stopped the undoing.
    #[error(
        "cannot add {frames}, stopped at section {section}: {why}; {left} is still installed ({undo}): retire it \
         when no other operation of this model runs{}",
        Loss(*lost)
    )]
    Stuck {
        /// All frames that were to be added.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: InstallError,
        /// The frames that are still installed.
        left: PfnRange,
        /// What stopped the undoing.
        undo: RetireError,
        /// How many metadata blocks the environment refused until then; they are lost.
        lost: u64,
        /// The first of them.
        first: Option<ForeignBlock>,
    },
    /// A section would not take its part; the model is as it was, but the environment refused its own blocks.
    #[error("cannot add {frames}, stopped at section {section}: {why}{}", Loss(*lost))]
    LostBlocks {
        /// All frames that were to be added.
        frames: PfnRange,
        /// The section that failed.
        section: SectionNr,
        /// Its reason.
        why: InstallError,
        /// How many blocks were refused.
        lost: u64,
        /// The first of them.
        first: Option<ForeignBlock>,
    },
}

/// Adds every part of a plan to a model. The memory is not online afterwards.
///
/// Holes of early sections get the descriptors that are there already (T-09). Source: Linux `__add_pages`. Differs from
/// Linux: there, sections that came before the one that failed stay (H-02, D-02).
///
/// # Errors
///
/// [`AddError`], naming range, section and cause.
pub fn add<M, E>(model: &M, env: &mut E, plan: &Plan<M::Geometry>) -> Result<(), AddError>
where
    M: InstallModel<E> + RetireModel<E>,
{
    let frames = plan.frames();
    for part in plan.parts() {
        check_absent(model, part).map_err(|why| AddError::Refused { frames, section: part.section, why })?;
    }
    for part in plan.parts() {
        if let Err(why) = model.install(env, part.frames, plan.node()) {
            return Err(undo(model, env, plan, part, why));
        }
    }
    Ok(())
}

/// Retires what was installed before `failed`, and makes the error.
fn undo<M, E>(model: &M, env: &mut E, plan: &Plan<M::Geometry>, failed: Part, why: InstallError) -> AddError
where
    M: RetireModel<E>,
{
    let (frames, section) = (plan.frames(), failed.section);
    let (mut lost, mut first) = (0, None);
    for part in plan.parts().take_while(|part| part.section < section) {
        match model.retire(env, part.frames) {
            Ok(retired) => {
                lost += retired.refused;
                first = first.or(retired.first_refused);
            }
            Err(undo) => {
                let left = frames.split_at(failed.frames.start()).0.split_at(part.frames.start()).1;
                return AddError::Stuck { frames, section, why, left, undo, lost, first };
            }
        }
    }
    if lost > 0 {
        return AddError::LostBlocks { frames, section, why, lost, first };
    }
    AddError::Refused { frames, section, why }
}

/// Refuses a part of which something is there already.
fn check_absent<M: MemoryModel>(model: &M, part: Part) -> Result<(), InstallError> {
    let (section, bits) = FramesError::check::<M::Geometry>(part.frames)?;
    let populated = bits.intersection(model.section(section).subsections);
    if populated.is_empty() {
        return Ok(());
    }
    Err(InstallError::Populated { frames: part.frames, section, populated })
}
