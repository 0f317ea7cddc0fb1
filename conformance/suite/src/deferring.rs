//! Boots that wait, without the model's types, and a subject that has them.
//!
//! # Invariants
//!
//! 1. Every method of the model's traits is called by the method of the same name.

use sparsemem_altmap::AltmapModel;
use sparsemem_core::{
    BootEvent, BootSummary, BringUpError, BroughtUp, DeferredModel, MemoryRange, SectionNr, TearDownError,
};

use crate::plug::Plug;
use crate::view::Parts;
use crate::{Failure, Life, MemmapSource, NotUp, Pair, Scratch, Subject, World, WorldWithEnvironment};

/// Boots that only mark sections, and the bring-up of chosen ones.
pub trait Deferral {
    /// Marks the sections of memory.
    ///
    /// # Errors
    ///
    /// The model's error, or that the model has no free writer.
    fn boot_deferred(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp>;

    /// Brings a section up.
    ///
    /// # Errors
    ///
    /// The model's error. A model without a free writer reports the section as being brought up elsewhere.
    fn bring_up(&mut self, section: SectionNr) -> Result<BroughtUp, BringUpError>;
}

/// A complete model whose boots can wait, in any world with its environment, as a [`Subject`].
#[derive(Debug)]
pub struct Deferring<'a, M, W>(Pair<'a, M, W>);

impl<'a, M, W> Deferring<'a, M, W> {
    /// The subject that consists of these two.
    pub const fn new(model: &'a mut M, world: &'a mut W) -> Self {
        Self(Pair::new(model, world))
    }
}

impl<M, W> Parts for Deferring<'_, M, W>
where
    W: WorldWithEnvironment,
    M: AltmapModel<W::Env, Page: Scratch>,
{
    type Model = M;
    type World = W;

    fn model(&self) -> &M {
        self.0.model()
    }

    fn world_with_environment(&self) -> &W {
        self.0.world_with_environment()
    }
}

impl<M, W> Deferral for Deferring<'_, M, W>
where
    W: WorldWithEnvironment,
    M: DeferredModel<W::Env>,
{
    fn boot_deferred(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        let mut writer = self.0.model.write().ok_or(NotUp::Written)?;
        Ok(writer.boot_deferred(self.0.world.env_mut(), memory.iter().copied(), on_event)?)
    }

    fn bring_up(&mut self, section: SectionNr) -> Result<BroughtUp, BringUpError> {
        let Some(mut writer) = self.0.model.write() else { return Ok(BroughtUp::Elsewhere) };
        writer.jointly().bring_up(self.0.world.env_mut(), section)
    }
}

impl<M, W> Subject for Deferring<'_, M, W>
where
    W: WorldWithEnvironment,
    M: AltmapModel<W::Env, Page: Scratch> + DeferredModel<W::Env>,
{
    fn life(&self) -> Life {
        self.0.life()
    }

    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        self.0.boot(memory, on_event)
    }

    fn tear_down(&mut self) -> Result<(), TearDownError> {
        self.0.tear_down()
    }

    fn deferral(&mut self) -> Option<&mut dyn Deferral> {
        Some(self)
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.0.world_mut()
    }

    fn plug(
        &mut self,
        memory: &[MemoryRange],
        memmaps: MemmapSource,
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.0.plug(memory, memmaps, scenario)
    }
}
