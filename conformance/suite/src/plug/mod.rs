//! A model that memory comes to and goes from, with everything that has to know of it.
//!
//! [`Plug`] is [`Hotplug`](sparsemem_hotplug::Hotplug) without its types, as [`View`] is a model without its types. What
//! belongs around it is here too: an allocator and notifiers that refuse on command ([`people`]), the places of a
//! machine where something can be plugged ([`site`]), and all that can be seen of both ([`snapshot`]). The scenarios are
//! in the modules [`life`], [`altmap`], [`refusals`] and [`failures`].

pub(crate) mod altmap;
pub(crate) mod failures;
pub(crate) mod life;
mod people;
mod plugged;
pub(crate) mod refusals;
mod site;
mod snapshot;
mod step;
mod way_back;

use sparsemem_core::{PageCount, Pfn, PfnRange};

use crate::{View, World};

pub use people::Obstacle;
pub(crate) use plugged::Plugged;
pub(crate) use site::Site;
pub use snapshot::Snapshot;
pub use step::{Memmap, PlugError, Step};

/// A model that is up, with memory blocks, notifiers, resources and an allocator.
pub trait Plug {
    /// What can be seen of the model.
    fn view(&self) -> &dyn View;

    /// The world around the model, to obstruct it.
    fn world_mut(&mut self) -> &mut dyn World;

    /// Takes a step.
    ///
    /// # Errors
    ///
    /// As the operation says.
    fn apply(&mut self, step: Step) -> Result<(), PlugError>;

    /// The allocator has had these frames since boot, as one range.
    fn had_since_boot(&mut self, frames: PfnRange);

    /// Somebody is in the way from now on, instead of who was before.
    fn obstruct(&mut self, obstacle: Option<Obstacle>);

    /// Everything that can be seen of the sections `watched` and of all tables.
    fn snapshot(&self, watched: &[u64]) -> Snapshot;

    /// The frame that the model finds from the descriptor of `pfn`, which has to be initialised already: unlike
    /// [`View::pfn_of`], this initialises nothing. `None` if the frame is not valid, or nobody did.
    fn frame_of(&self, pfn: Pfn) -> Option<Pfn>;

    /// Frames of the device's altmap that blocks lie in.
    fn altmap_in_use(&self) -> PageCount;
}
