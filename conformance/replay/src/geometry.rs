//! The geometries of recorded kernels, each with its model.

use sparsemem_altmap::AltmapModel;
use sparsemem_any::any_model;
use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{Geometry, MemoryModel, MetadataModel, Page};
use sparsemem_fixture::{Backend, Fixture};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, MachineError};

/// The domain of the readers of all replays.
#[derive(Debug)]
pub(super) enum Readers {}

/// A geometry with models of all backends.
pub(super) trait Replayed: Geometry {
    /// The model that a replay changes.
    type Model: MemoryModel<Geometry = Self, Page = Page> + AltmapModel<Machine> + MetadataModel<Machine>;

    /// A fresh model of a backend on a fresh machine.
    fn fixture(backend: Backend, config: &MachineConfig) -> Result<Fixture<Self::Model>, MachineError>;
}

macro_rules! replayed {
    ($($geometry:ty),+) => {
        $(impl Replayed for $geometry {
            type Model = any_model!($geometry, Page, HostRcu<Readers>);

            fn fixture(backend: Backend, config: &MachineConfig) -> Result<Fixture<Self::Model>, MachineError> {
                Fixture::<Self::Model>::new(backend, config)
            }
        })+
    };
}

replayed!(X86_64, X86_64La57);
