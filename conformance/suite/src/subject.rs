//! The model under test, without its types.
//!
//! [`Subject`] repeats the changing half of the model's traits, as [`View`] does the looking half. [`Pair`] makes a
//! subject of any model and its surroundings, by calling the model's own methods and nothing else.
//!
//! # Invariants
//!
//! 1. Every method of the model's traits is called by the method of the same name.

use sparsemem_altmap::{AltmapModel, MemmapRule};
use sparsemem_core::{BootError, BootEvent, BootModel, BootSummary, MemoryRange, TearDownError};

use crate::plug::{Plug, Plugged};
use crate::view::Parts;
use crate::{Failure, Scratch, Surroundings, View, World};

/// Why a subject did not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUp {
    /// The model says that somebody writes to it, though a scenario has it to itself.
    #[error("somebody else writes to the model, which nobody else has")]
    Written,
    /// The model refused.
    #[error(transparent)]
    Boot(#[from] BootError),
}

/// A model and the world around it.
pub trait Subject: View {
    /// Brings the model up.
    ///
    /// # Errors
    ///
    /// As the model says, or that there is no writer to be had.
    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp>;

    /// Takes the model down.
    ///
    /// # Errors
    ///
    /// As the model says.
    fn tear_down(&mut self) -> Result<(), TearDownError>;

    /// The world around the model, to obstruct it.
    fn world_mut(&mut self) -> &mut dyn World;

    /// Ties a model that is up from `memory`, and that lays its memmap out by `rule`, to memory blocks, notifiers,
    /// resources and an allocator, and lends it.
    ///
    /// # Errors
    ///
    /// What `play` says, or that the tables do not take the memory of boot.
    fn plug(
        &mut self,
        memory: &[MemoryRange],
        rule: MemmapRule,
        play: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure>;
}

/// Any model in any surroundings, as a [`Subject`].
#[derive(Debug)]
pub struct Pair<'a, M, W> {
    model: &'a mut M,
    world: &'a mut W,
}

impl<'a, M, W> Pair<'a, M, W> {
    /// The subject that consists of these two.
    pub const fn new(model: &'a mut M, world: &'a mut W) -> Self {
        Self { model, world }
    }
}

impl<M, W> Parts for Pair<'_, M, W>
where
    W: Surroundings,
    M: BootModel<W::Env, Page: Scratch>,
{
    type Model = M;
    type World = W;

    fn model(&self) -> &M {
        self.model
    }

    fn surroundings(&self) -> &W {
        self.world
    }
}

impl<M, W> Subject for Pair<'_, M, W>
where
    W: Surroundings,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        let mut writer = self.model.write().ok_or(NotUp::Written)?;
        Ok(writer.boot(self.world.env_mut(), memory.iter().copied(), on_event)?)
    }

    fn tear_down(&mut self) -> Result<(), TearDownError> {
        self.model.tear_down(self.world.env_mut())
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.world
    }

    fn plug(
        &mut self,
        memory: &[MemoryRange],
        rule: MemmapRule,
        play: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        Plugged::lend(&*self.model, &mut *self.world, memory, rule, play)
    }
}
