//! What is left of an operation that somebody else's operation of the same model stopped halfway.
//!
//! # Invariants
//!
//! 1. While something is unfinished, every other operation is refused: it would build on a state that is neither old
//!    nor new.

use sparsemem_core::{MarkModel, MemoryModel, PfnRange, RetireModel};

use crate::mark::resume;
use crate::remove::remove_frames;
use crate::{AddError, Direction, Hotplug, RemovalError, RemoveError, Removed, ResourceKind, SwitchError};

/// An operation that could not be finished, and what is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfinished {
    /// An addition failed, and what it had installed is still there.
    #[error("the undoing of an addition is unfinished: {left} is still installed; call Hotplug::finish")]
    Addition {
        /// The frames to retire.
        left: PfnRange,
    },
    /// A removal stopped: the memory before `rest` is gone.
    #[error("the removal of {frames} is unfinished: {rest} is still there; call Hotplug::finish")]
    Removal {
        /// All frames of the removal.
        frames: PfnRange,
        /// The frames that are still there.
        rest: PfnRange,
        /// What the resources call the range.
        kind: ResourceKind,
    },
    /// A switch failed, and some memory is marked for the state that it did not reach.
    #[error("the undoing of a switch is unfinished: {left} has to be marked {back:?}; call Hotplug::finish")]
    Switch {
        /// The frames to mark back.
        left: PfnRange,
        /// What to mark them as.
        back: Direction,
    },
}

impl Unfinished {
    /// What a failed addition left, if it left anything.
    pub(crate) const fn of_addition(error: &AddError) -> Option<Self> {
        match error {
            AddError::Stuck { left, .. } => Some(Self::Addition { left: *left }),
            _ => None,
        }
    }

    /// What a removal left, if it was interrupted.
    pub(crate) const fn of_removal(
        error: &RemoveError,
        frames: PfnRange,
        kind: ResourceKind,
    ) -> Option<Self> {
        match error {
            RemoveError::Interrupted { rest, .. } => Some(Self::Removal { frames, rest: *rest, kind }),
            RemoveError::Refused { .. } => None,
        }
    }

    /// What a failed switch left, if it left anything.
    pub(crate) const fn of_switch(error: &SwitchError, to: Direction) -> Option<Self> {
        match error {
            SwitchError::Stuck { left, .. } => Some(Self::Switch { left: *left, back: to.back() }),
            SwitchError::Refused { .. } => None,
        }
    }
}

/// Why an unfinished operation is still not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// The memory still does not go.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// The memory still cannot be marked.
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// What is unfinished, if anything is.
    #[must_use]
    pub const fn unfinished(&self) -> Option<Unfinished> {
        self.unfinished
    }

    /// Finishes what an operation had to leave unfinished. Does nothing if nothing is.
    ///
    /// After a failed addition or switch everything is then as it was before it; after a removal, as behind it.
    ///
    /// # Errors
    ///
    /// [`FinishError`] if the model is busy again; call it once more when it is not.
    pub fn finish<E>(&mut self, env: &mut E) -> Result<Removed, FinishError>
    where
        M: RetireModel<E> + MarkModel,
    {
        match self.unfinished {
            None => Ok(Removed::default()),
            Some(Unfinished::Addition { left }) => Ok(self.finish_addition(env, left)?),
            Some(Unfinished::Removal { frames, rest, kind }) => {
                Ok(self.remove_range(env, frames, rest, kind)?)
            }
            Some(Unfinished::Switch { left, back }) => Ok(self.finish_switch(left, back)?),
        }
    }

    /// Retires what an addition left.
    fn finish_addition<E>(&mut self, env: &mut E, left: PfnRange) -> Result<Removed, RemovalError>
    where
        M: RetireModel<E>,
    {
        let removed = remove_frames(self.model, env, left);
        match &removed {
            Ok(_) => self.unfinished = None,
            Err(RemoveError::Interrupted { rest, .. }) => {
                self.unfinished = Some(Unfinished::Addition { left: *rest });
            }
            Err(RemoveError::Refused { .. }) => {}
        }
        Ok(removed?)
    }

    /// Marks what a switch left.
    fn finish_switch(&mut self, left: PfnRange, back: Direction) -> Result<Removed, SwitchError>
    where
        M: MarkModel,
    {
        let (rest, result) = resume(self.model, left, back);
        self.unfinished = result.is_err().then_some(Unfinished::Switch { left: rest, back });
        result.map(|()| Removed::default())
    }

    /// Refuses to start anything while something is unfinished.
    pub(crate) const fn check_finished(&self) -> Result<(), Unfinished> {
        match self.unfinished {
            Some(unfinished) => Err(unfinished),
            None => Ok(()),
        }
    }
}
