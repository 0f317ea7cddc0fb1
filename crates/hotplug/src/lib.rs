//! Adds and removes memory while the machine runs, and switches it online and offline: RAM and devices.
//!
//! [`Hotplug`] ties a memory model to what else knows of physical memory: [memory blocks](Blocks) with their states,
//! the [chain of notifiers](Chain), the [resources](Resources), and the page allocator ([`AllocatorHooks`]). Below it,
//! [`Request`] checks a request and splits it at section borders, and [`add`](fn@add) adds it to a model alone.
//! Everything works on every model, in steps of a subsection (2 MiB); nothing here allocates: tables lie in slots that
//! the caller supplies.
//!
//! ```
//! use sparsemem_core::{InstallModel, MarkModel, NodeId, PfnRange, RetireModel};
//! use sparsemem_hotplug::{AllocatorHooks, Hotplug, Ram};
//!
//! /// What happens when somebody plugs a memory module in.
//! fn plugged<M, E>(
//!     hotplug: &mut Hotplug<'_, M>,
//!     env: &mut E,
//!     allocator: &mut impl AllocatorHooks,
//!     module: PfnRange,
//! ) -> Result<(), Box<dyn std::error::Error>>
//! where
//!     M: InstallModel<E> + RetireModel<E> + MarkModel,
//! {
//!     hotplug.add_memory(env, module, NodeId::new(0), Ram::default())?;
//!     hotplug.online(allocator, module)?;
//!     Ok(())
//! }
//! ```
//!
//! # What boot laid into RAM
//!
//! Memmaps and other metadata of boot lie in RAM, often of another section, and hotplug does not know where. Whoever
//! takes memory of boot offline asks about it: [`WithReserved`] puts the question, [`Reserved`], before any allocator, so
//! that [`Hotplug::offline`] refuses a block with what others need, and [`Hotplug::online`] gives no frame that is not
//! free. [`Hotplug::remove_memory`] does not ask again: what must not go must not go offline. The answers for metadata
//! are in `sparsemem-bootmem-registration`, `Registry::first_pinned` and `Registry::next_metadata`; `removal_plan` there
//! says in which order blocks can go.
//!
//! # Invariants
//!
//! 1. **All or nothing.** Whatever fails leaves words, bits, usages, memmaps, tables, resources, blocks and allocator as
//!    they were, and who was told of a change is told that it does not happen. An operation first prepares what can
//!    fail and then commits what cannot; the types of the middle put everything back when they are dropped, also when a
//!    notifier or the allocator unwinds.
//! 2. **One at a time.** An operation holds the model's writer from beginning to end. If somebody else has it, the operation
//!    says so before it does anything; later, nothing can come between its steps.
//! 3. Adding and then removing is the identity. One mark outlives it: [a shared section](Request::shared_borders) stays
//!    tainted until its last part goes, as in Linux (H-62).
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod add;
mod block;
mod block_size;
mod blocks;
mod callbacks;
mod chain;
mod device;
mod hooks;
mod hotplug;
mod nodes;
mod ram;
mod remove;
mod request;
mod reserved;
mod resource;
mod resources;
mod slots;
mod switch;

pub use add::add;
pub use block::{BlockNr, BlockSpan, BlockState, IllegalTransition, MemoryBlock, Transition};
pub use block_size::{BlockSize, BlockSizeError, BlockSizeHints, Platform};
pub use blocks::{BlockError, Blocks, Direction};
pub use callbacks::{FramesRefused, Reason};
pub use chain::{Chain, ChainError, MemoryChange, NodeChange, Notifier, NotifierRefused, Registration};
pub use device::AddDeviceError;
pub use hooks::AllocatorHooks;
pub use hotplug::{AdoptError, Hotplug, Storage};
pub use ram::{AddMemoryError, BadName, Ram};
pub use remove::RemoveError;
pub use request::{Granule, Kind, Limits, Part, Request, RequestError, frames_of_bytes};
pub use reserved::{Reserved, WithReserved};
pub use resource::{Merge, Resource, ResourceError, ResourceKind};
pub use resources::Resources;
pub use slots::Full;
pub use switch::{OfflineError, OnlineError};
