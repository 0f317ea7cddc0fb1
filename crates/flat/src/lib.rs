//! The flat memory model: one array of descriptors from the lowest to the highest frame of RAM.
//!
//! A lookup compares the frame with the array's bound and adds it to a pointer. The array costs a descriptor for every
//! frame of a hole, too; where RAM has large holes, `compressed-index` or a model that lays out sections takes less. Memory that
//! is added later needs room that was [reserved](sparsemem_core::MemoryModel::reserve) before the boot.
//!
//! ```
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn};
//! use sparsemem_flat::Flat;
//!
//! static MODEL: Flat<X86_64, Page, NeverReclaim> = Flat::new();
//!
//! assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
//! ```
//! # What it costs
//!
//! A GiB of RAM takes 16 MiB of 64-byte descriptors in every model; a GiB of hole takes them in this one, too. It is for
//! machines of one piece of memory, such as most guests and boards. Page tables, section tables and stamps in the
//! descriptors are not needed.
//!
//! # Memory that is added later
//!
//! The array does not grow. A kernel reserves room for what its firmware says can be plugged in, and gets an error for
//! everything else:
//!
//! ```
//! # use sparsemem_core::{PhysAddr, PhysRange};
//! # use sparsemem_machine::{Machine, MachineConfig};
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::{InstallError, MemoryModel, MemoryRange, NeverReclaim, NodeId, Page, Pfn, PfnRange, SectionLoss};
//! use sparsemem_flat::Flat;
//!
//! static MODEL: Flat<X86_64, Page, NeverReclaim> = Flat::new();
//!
//! # let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(1 << 30))?;
//! # let mut env = Machine::new(&MachineConfig::new().memory(memory, NodeId::new(0)))?;
//! let node = NodeId::new(0);
//! let gib = |nr: u64| PfnRange::new(Pfn::new(nr << 18), Pfn::new((nr + 1) << 18));
//! let section = |nr: u64| PfnRange::new(Pfn::new(nr << 15), Pfn::new((nr + 1) << 15));
//!
//! let mut writer = MODEL.write().expect("this kernel's own lock keeps other writers out");
//! writer.reserve(gib(4)?);
//! let ram = [MemoryRange { frames: gib(0)?, node }];
//! writer.boot(&mut env, ram.into_iter(), &mut |event| panic!("{event:?}"))?;
//!
//! writer.install(&mut env, section(32)?, node)?;
//! assert!(MODEL.is_valid(Pfn::new(32 << 15)));
//!
//! let refused = writer.install(&mut env, section(40)?, node);
//! let Err(InstallError::NoMetadata { why: SectionLoss::BeyondArray { array }, .. }) = refused else { panic!() };
//! assert_eq!(array, PfnRange::new(gib(0)?.start(), gib(4)?.end())?, "the bound");
//! # drop(writer);
//! # core::mem::forget(env);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

use sparsemem_bounded_array::{ArrayModel, Straight};

/// The model for geometry `G`, descriptor `P` and readers of domain `R`.
///
/// Source: Linux `FLATMEM`, and the array of metadata of Asterinas. Differs from both: frames are valid by section and
/// subsection, as in the other models, and memory can be added and removed inside the bound.
pub type Flat<G, P, R> = ArrayModel<G, P, R, Straight>;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
