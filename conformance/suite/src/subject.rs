//! The model under test, without its types.
//!
//! [`Subject`] repeats those methods of the model's traits that change a model, and [`View`] those that inspect it.
//! [`Pair`] makes a subject of any complete model and a world with its environment, and [`Booting`] of any model that
//! boots. They only call the model's own methods.
//!
//! # Invariants
//!
//! 1. Every method of the model's traits is called by the method of the same name.

use sparsemem_altmap::AltmapModel;
use sparsemem_core::{BootError, BootEvent, BootModel, BootSummary, MemoryRange, TearDownError};

use crate::failure::Place;
use crate::plug::{Plug, Plugged};
use crate::view::Parts;
use crate::{Deferral, Failure, Life, MemmapSource, Scratch, View, World, WorldWithEnvironment};

/// The reason why a subject was not booted.
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
    /// The part of a model's life that it can take part in.
    fn life(&self) -> Life;

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

    /// The subject's boots that wait; `None` if its type has none.
    fn deferral(&mut self) -> Option<&mut dyn Deferral> {
        None
    }

    /// The world around the model, to arm faults.
    fn world_mut(&mut self) -> &mut dyn World;

    /// Connects a model that was booted from `memory`, and that takes its memmaps from `memmaps`, with memory blocks,
    /// notifiers, resources and an allocator, and lends it.
    ///
    /// # Errors
    ///
    /// The failure of `scenario`, that the tables do not take the memory of boot, or that the model only boots.
    fn plug(
        &mut self,
        memory: &[MemoryRange],
        memmaps: MemmapSource,
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure>;
}

/// A complete model in any world with its environment, as a [`Subject`].
#[derive(Debug)]
pub struct Pair<'a, M, W> {
    pub(crate) model: &'a mut M,
    pub(crate) world: &'a mut W,
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

impl<M, W> Pair<'_, M, W>
where
    W: WorldWithEnvironment,
    M: BootModel<W::Env>,
{
    fn boot_model(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        let mut writer = self.model.write().ok_or(NotUp::Written)?;
        Ok(writer.boot(self.world.env_mut(), memory.iter().copied(), on_event)?)
    }

    fn tear_down_model(&mut self) -> Result<(), TearDownError> {
        self.model.tear_down(self.world.env_mut())
    }
}

impl<M, W> Subject for Pair<'_, M, W>
where
    W: WorldWithEnvironment,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    fn life(&self) -> Life {
        Life::Hotplug
    }

    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        self.boot_model(memory, on_event)
    }

    fn tear_down(&mut self) -> Result<(), TearDownError> {
        self.tear_down_model()
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.world
    }

    fn plug(
        &mut self,
        memory: &[MemoryRange],
        memmaps: MemmapSource,
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        Plugged::lend(&*self.model, &mut *self.world, memory, memmaps, scenario)
    }
}

/// A model that boots, in any world with its environment, as a [`Subject`] without hotplug.
#[derive(Debug)]
pub struct Booting<'a, M, W>(Pair<'a, M, W>);

impl<'a, M, W> Booting<'a, M, W> {
    /// The subject that consists of these two.
    pub const fn new(model: &'a mut M, world: &'a mut W) -> Self {
        Self(Pair::new(model, world))
    }
}

impl<M, W> Parts for Booting<'_, M, W>
where
    W: WorldWithEnvironment,
    M: BootModel<W::Env, Page: Scratch>,
{
    type Model = M;
    type World = W;

    fn model(&self) -> &M {
        self.0.model
    }

    fn world_with_environment(&self) -> &W {
        self.0.world
    }
}

impl<M, W> Subject for Booting<'_, M, W>
where
    W: WorldWithEnvironment,
    M: BootModel<W::Env, Page: Scratch>,
{
    fn life(&self) -> Life {
        Life::Boot
    }

    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        self.0.boot_model(memory, on_event)
    }

    fn tear_down(&mut self) -> Result<(), TearDownError> {
        self.0.tear_down_model()
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.0.world
    }

    fn plug(
        &mut self,
        _: &[MemoryRange],
        _: MemmapSource,
        _: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        Err(Failure::new(Place::Model, "hotplug", "a scenario that suits", "a model that only boots"))
    }
}
