//! Environments for memory models, ready-made.
//!
//! A model takes the memory of its metadata, and for a virtual array the way to page tables, from an environment that the
//! kernel implements. These are the ones that most kernels would write:
//!
//! | a kernel has | environment |
//! |---|---|
//! | a boot allocator that hands out one block | [`BootArena`] |
//! | a boot allocator of each node, which goes upwards | [`FrameEnvironment::of_boot`], with a [`SliceLedger`] |
//! | a frame allocator and a direct map | [`FrameEnvironment`], over a [`FrameSource`] |
//! | a global allocator in the direct map | `Heap` (feature `alloc`) |
//! | a host: tests, a virtual machine monitor | `StdHeap` (feature `alloc`) |
//! | page tables that only its own code changes | `OffsetMapper` (feature `x86_64-mapper`), as an example to follow |
//!
//! A [`DirectMap`] is the first half of each of them; [`PageTables`] adds the page tables that vmemmap writes. Kernels that
//! remove memory and have no RCU find a domain of readers in [`counted_readers!`].
//!
//! ```
//! use sparsemem_core::{ByteLen, MemoryModel, MemoryRange, NeverReclaim, Page, Pfn, PhysAddr, presets::X86_64};
//! use sparsemem_environments::{BootArena, DirectMap};
//! # use sparsemem_core::{BootModel, PhysRange};
//!
//! fn bring_up<M, I>(model: &M, ram: I, direct_map: DirectMap, take: impl FnOnce(ByteLen) -> Option<PhysAddr>)
//! where
//!     M: BootModel<BootArena<DirectMap>>,
//!     I: Iterator<Item = MemoryRange> + Clone,
//! {
//!     let bytes = model.boot_bytes(ram.clone());
//!     // SAFETY: the boot allocator gives this memory to nobody else, and the direct map reaches it.
//!     let mut arena = unsafe { BootArena::new(direct_map, bytes, take) }.expect("memory for the model");
//!     let mut writer = model.write().expect("nobody else changes the model");
//!     let summary = writer.boot(&mut arena, ram, &mut |_event| ()).expect("the first boot");
//!     assert_eq!(summary.lost, 0);
//! }
//! ```
//!
//! # Invariants
//!
//! 1. No environment takes back a block that it does not know: an arena by its address, all others by a [`Ledger`].
//! 2. Every block is zeroed when it is given, whatever its memory held.
#![no_std]
#![allow(unsafe_code, reason = "the traits of an environment are unsafe")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod arena;
mod direct_map;
mod frames;
#[cfg(feature = "alloc")]
mod heap;
mod ledger;
#[cfg(feature = "x86_64-mapper")]
mod mapper;
mod readers;
#[cfg(any(feature = "x86_64", feature = "buddy_system_allocator"))]
mod sources;

/// Used by [`counted_readers!`].
#[doc(hidden)]
pub use sparsemem_core::{GracePeriod, Reclaim};

pub use arena::BootArena;
pub use direct_map::{DirectMap, PageTables};
pub use frames::{FrameEnvironment, FrameSource};
#[cfg(feature = "alloc")]
pub use heap::{Heap, Identity, StdHeap};
pub use ledger::{Given, Ledger, SliceLedger};
#[cfg(feature = "x86_64-mapper")]
pub use mapper::OffsetMapper;
#[cfg(feature = "buddy_system_allocator")]
pub use sources::Buddy;
#[cfg(feature = "x86_64")]
pub use sources::X86Frames;
