//! The model under test, without its types.
//!
//! [`Subject`] repeats those methods of the model's traits that change a model, and [`View`] those that inspect it.
//! [`Pair`] makes a subject of any model and a world with its environment. It only calls the model's own methods.
//!
//! # Invariants
//!
//! 1. Every method of the model's traits is called by the method of the same name.

use sparsemem_altmap::{AltmapModel, MemmapRule};
use sparsemem_core::{BootError, BootEvent, BootModel, BootSummary, MemoryRange, TearDownError};

use crate::plug::{Plug, Plugged};
use crate::view::Parts;
use crate::{Failure, Scratch, View, World, WorldWithEnvironment};

/// Why a subject was not booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUp {
    /// The model reports that another writer has it, although only the scenario uses it.
    #[error("another writer has the model, although only the scenario uses it")]
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
    /// The model's error, or that the model has no free writer.
    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp>;

    /// Takes the model down.
    ///
    /// # Errors
    ///
    /// The model's error.
    fn tear_down(&mut self) -> Result<(), TearDownError>;

    /// The world around the model, to arm faults.
    fn world_mut(&mut self) -> &mut dyn World;

    /// Connects a model that was booted from `memory`, and that lays out its memmap by `rule`, with memory blocks,
    /// notifiers, resources and an allocator, and lends it.
    ///
    /// # Errors
    ///
    /// The failure of `scenario`, or that the tables do not take the memory of boot.
    fn plug(
        &mut self,
        memory: &[MemoryRange],
        rule: MemmapRule,
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure>;
}

/// Any model in any world with its environment, as a [`Subject`].
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
    W: WorldWithEnvironment,
    M: BootModel<W::Env, Page: Scratch>,
{
    type Model = M;
    type World = W;

    fn model(&self) -> &M {
        self.model
    }

    fn world_with_environment(&self) -> &W {
        self.world
    }
}

impl<M, W> Subject for Pair<'_, M, W>
where
    W: WorldWithEnvironment,
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
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        Plugged::lend(&*self.model, &mut *self.world, memory, rule, scenario)
    }
}
