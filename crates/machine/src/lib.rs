//! The simulated machine that memory models run on in tests and tools.
//!
//! A [`Machine`] has physical memory, page tables and allocators, and offers them through the same traits that a
//! kernel implements: [`PhysMap`](sparsemem_core::PhysMap), [`MetadataMemory`](sparsemem_core::MetadataMemory) and
//! [`AddressSpace`](sparsemem_core::AddressSpace). It resembles real hardware in three respects:
//!
//! 1. Physical memory is one sparse shared object of the host, and everything that a model allocates lies in it: a
//!    section's metadata has a physical address, possibly in another section. Memory that is never accessed costs
//!    nothing.
//! 2. The page tables are real tables of a [`Processor`] in that memory, and the machine maps every leaf in the host's
//!    process too. So an access to an unmapped part of a virtual memmap faults. The machine also remembers what the
//!    processor may remember, and reports a breach of the processor's rules ([`Machine::mirror_matches_tables`]).
//! 3. Allocators count every block, refuse to free blocks of others, and fail on request ([`Faults`]). With
//!    `--cfg sparsemem_asan`, the machine reports freed blocks to address sanitizer.
//!
//! The crate also has [`HostRcu`], a reclaim domain for hosts; [`place`], which makes models too large for a stack;
//! and [`probe`] and [`resident_bytes`], which ask the host about mapped addresses and resident memory.
//!
//! ```
//! use core::alloc::Layout;
//! use sparsemem_core::{MetadataMemory, NodeId, PhysAddr, PhysRange};
//! use sparsemem_machine::{Machine, MachineConfig};
//!
//! let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 40))?;
//! let mut machine = Machine::new(&MachineConfig::new().memory(memory, NodeId::new(0)))?;
//! let before = machine.state_digest();
//! let block = machine.alloc_zeroed(Layout::new::<[u64; 10]>(), NodeId::new(0))?;
//! assert_eq!(machine.balance().total().bytes, 80);
//! machine.free(block).map_err(|refused| refused.error)?;
//! assert_eq!(machine.state_digest(), before);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! 1. A block is zero when it is allocated.
//! 2. A block lies in memory, never in a hole, and blocks do not overlap.
//! 3. The window shows exactly the leaves that [`AddressSpace::linked`](sparsemem_core::AddressSpace::linked) mapped
//!    and that no flush has removed since; where the processor does not see a new mapping at once, from the moment when
//!    it is [`published`](sparsemem_core::AddressSpace::published).
#![allow(unsafe_code, reason = "maps memory, and acts as the processor's memory manager")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("the simulated machine needs a 64-bit Linux host");

mod addresses;
mod alloc;
mod balance;
mod cache;
mod config;
mod dirty;
mod error;
mod extents;
mod faults;
mod host;
mod machine;
mod mirror;
mod place;
mod poison;
mod probe;
mod processor;
mod provider;
mod ram;
mod rcu;
mod virtio_mem;
mod walker;
mod window;

pub use addresses::Addresses;
pub use balance::{Balance, Count, StateDigest};
pub use config::MachineConfig;
pub use error::{HostCall, MachineError};
pub use faults::{Demand, Faults, Request, Verdict, Which};
pub use machine::Machine;
pub use mirror::Mismatch;
pub use place::place;
pub use probe::{Access, probe, resident_bytes};
pub use processor::Processor;
pub use rcu::{HostGuard, HostRcu};
pub use virtio_mem::{Answered, Misbehaviour, Unplugged, VirtioMemDevice};
pub use walker::Leaf;
