//! Adds and removes RAM and devices while the machine runs, and switches RAM online and offline.
//!
//! [`Hotplug`] connects a memory model with the other records of physical memory: [memory blocks](Blocks) with their
//! states, the [chain of notifiers](Chain), the [resources](Resources), and the page allocator ([`AllocatorHooks`]).
//! It is built from two parts that can be used alone: [`Request`] checks a request and splits it at section borders,
//! and [`add`](fn@add) adds it to a model without these records. Everything works on every model, in multiples of a
//! subsection (2 MiB). This crate does not allocate: tables lie in slots that the caller supplies.
//!
//! ```
//! use sparsemem_core::{InstallModel, MarkModel, NodeId, PfnRange, RetireModel};
//! use sparsemem_hotplug::{AllocatorHooks, Hotplug, Ram};
//!
//! /// Adds a memory module that was plugged in.
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
//! # Metadata of boot in RAM
//!
//! Memmaps and other metadata of boot lie in RAM, often of another section, and hotplug does not know where. A kernel
//! that takes memory of boot offline must provide that knowledge: it implements [`Reserved`] and wraps its allocator
//! in [`WithReserved`]. Then [`Hotplug::offline`] refuses a block whose data is needed elsewhere, and
//! [`Hotplug::online`] gives the allocator only free frames. [`Hotplug::remove_memory`] does not check again: memory
//! that must not be removed must not go offline. `sparsemem-bootmem-registration` has the answers for metadata in
//! `Registry::first_pinned` and `Registry::next_metadata`, and its `removal_plan` reports the order in which blocks
//! can be removed.
//!
//! # Invariants
//!
//! 1. **All or nothing.** A failed operation leaves words, bits, usages, memmaps, tables, resources, blocks and
//!    allocator as they were, and notifiers that agreed to the change are called with its cancellation. An operation
//!    first prepares the steps that can fail and then commits those that cannot. The values that it holds in between
//!    restore everything when they are dropped, also when a notifier or the allocator unwinds.
//! 2. **One at a time.** An operation holds the model's writer from beginning to end. If another operation has the
//!    writer, it returns an error before it does anything. Otherwise no other writer can act between its steps.
//! 3. Adding and then removing memory restores the earlier state, with one exception: [a shared
//!    section](Request::shared_borders) stays tainted until its last part is removed, as in Linux (H-62).
//!
//! Numbers such as H-11 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
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
mod device_ram;
mod hooks;
mod hotplug;
mod nodes;
mod part;
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
pub use device_ram::DeviceRamError;
pub use hooks::AllocatorHooks;
pub use hotplug::{AdoptError, Hotplug, Storage};
pub use part::PartError;
pub use ram::{AddMemoryError, BadName, Ram};
pub use remove::RemoveError;
pub use request::{Granule, Limits, MemoryKind, Part, Request, RequestError, frames_of_bytes};
pub use reserved::{Reserved, WithReserved};
pub use resource::{Merge, Resource, ResourceError, ResourceKind};
pub use resources::Resources;
pub use slots::Full;
pub use switch::{OfflineError, OnlineError};
