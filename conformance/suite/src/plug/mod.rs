//! A model to which memory is added and from which it is removed, with memory blocks, notifiers, resources and an
//! allocator.
//!
//! [`Plug`] is [`Hotplug`](sparsemem_hotplug::Hotplug) without its types, as [`View`] is a model without its types.
//! This module also has an allocator and notifiers that refuse on request ([`doubles`]), the places of a machine
//! where memory can be plugged ([`places`]), and a record of everything that can be observed ([`snapshot`]). The
//! scenarios are in the modules [`life`], [`altmap`], [`compound`], [`refold`], [`refusals`] and [`failures`].

pub(crate) mod altmap;
pub(crate) mod compound;
mod descriptors;
mod doubles;
pub(crate) mod failures;
pub(crate) mod life;
mod places;
mod plugged;
pub(crate) mod refold;
pub(crate) mod refusals;
mod snapshot;
mod step;

use sparsemem_core::{PageCount, Pfn, PfnRange};

use crate::{View, World};

pub use doubles::Obstacle;
pub(crate) use places::Places;
pub(crate) use plugged::Plugged;
pub use snapshot::Snapshot;
pub use step::{Memmap, PlugError, Step};

/// A model that is up, with memory blocks, notifiers, resources and an allocator.
pub trait Plug {
    /// The model, to inspect it.
    fn view(&self) -> &dyn View;

    /// The world around the model, to arm faults.
    fn world_mut(&mut self) -> &mut dyn World;

    /// Takes a step.
    ///
    /// # Errors
    ///
    /// The error of the operation.
    fn apply(&mut self, step: Step) -> Result<(), PlugError>;

    /// Reports frames to the allocator as one range that it has had since boot.
    fn had_since_boot(&mut self, frames: PfnRange);

    /// Makes this obstacle refuse from now on, and no other.
    fn obstruct(&mut self, obstacle: Option<Obstacle>);

    /// Everything that can be observed of the sections `watched` and of all tables.
    fn snapshot(&self, watched: &[u64]) -> Snapshot;

    /// The frame that the model finds from the descriptor of `pfn`. Unlike [`View::pfn_of`], this does not initialise
    /// the descriptor. `None` if the frame is not valid or its descriptor is not initialised.
    fn frame_of(&self, pfn: Pfn) -> Option<Pfn>;

    /// The number of frames of the device's altmap that are in use.
    fn altmap_in_use(&self) -> PageCount;
}
