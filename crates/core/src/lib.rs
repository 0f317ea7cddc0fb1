//! Vocabulary and contracts of the section memory model.
//!
//! All other crates use the types of this one: frames and sections ([`Pfn`], [`SectionNr`], [`PfnRange`]), the
//! shape of an architecture's physical memory ([`Geometry`]), the lookups of a memory model ([`MemoryModel`]), how its
//! readers are protected ([`Reclaim`]), the contract of a page descriptor ([`PageDescriptor`]), and the environment
//! that gives memory and mappings ([`MetadataMemory`], [`AddressSpace`]).
//!
//! # Invariants
//!
//! 1. Every range is half-open: `start` belongs to it, `end` does not.
//! 2. No address, frame or section number is a raw integer: each has a type of its own, and these types have
//!    named arithmetic instead of operators, so code cannot wrap around or mix units without naming it.
//! 3. This crate does not allocate, and does not use `std`.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | frame | one page of physical memory; its number is a [`Pfn`] |
//! | descriptor | the record a kernel keeps for one frame (Linux: `struct page`) |
//! | memmap | the descriptors of consecutive frames, as one array |
//! | section | the unit in which memory is present or absent; power of two, 128 MiB on x86_64 |
//! | subsection | the unit of hotplug inside a section, 2 MiB on every architecture |
//! | section word | one machine word with the memmap pointer and the state flags of a section |
//! | usage | per-section record of which subsections are populated, and of the pageblock flags |
//! | root | one page of section entries in the two-level table |
//! | deferred | marked at boot and without memmap until it is brought up |
//! | early | created at boot; an early section's memmap covers the section as a whole, holes included |
//! | altmap | device memory set aside to hold the device's own memmap |
//! | compound | frames that are used as one large page: a power of two of them, [`CompoundOrder`] |
//! | head, tail | the first frame of a compound; any other |
//! | folded | of a compound: all but the first frames share descriptors, which may only be read |
//! | node | a NUMA node, [`NodeId`] |
//!
//! Numbers such as W-42 refer to the project's list of [facts about Linux][facts], here and in all other crates.
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![allow(unsafe_code, reason = "declares the unsafe traits and the raw descriptor")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(any(test, sparsemem_loom))]
extern crate std;

mod answers;
mod boot;
mod boot_bytes;
mod compound;
mod control;
mod deferred;
mod descriptor;
mod forward;
mod frames;
mod fresh;
mod geometry;
mod mark;
mod memory;
mod metadata;
mod model;
mod newtype;
mod numbers;
mod paging;
mod place;
pub mod primitive;
mod range;
mod reader;
mod refold;
mod regions;
mod section_loss;
mod slot;
mod stamp;
mod stream;
mod subsections;
pub mod trace;
mod writer;

pub use answers::{
    EarlyFrames, LookupError, PresentSections, SECTION_FLAG_BITS, SectionFlags, SectionState, ValidRanges,
};
pub use boot::{
    BootError, BootEvent, BootModel, BootPart, BootSummary, Footprint, MemoryRange, TearDownError, Touch,
};
pub use compound::{CompoundOrder, FoldError, Folded, ReadOnlyTails};
pub use control::{CompleteModel, InstallError, InstallModel, RetireError, RetireModel, Retired};
pub use deferred::{BringUpError, BroughtUp, DeferredModel, JointWriter, NoMemmap};
pub use descriptor::{Page, PageDescriptor, initialise, reset};
pub use frames::{FramesError, SectionPart};
pub use fresh::{initialise_fresh, initialise_fresh_together};
pub use geometry::{BitWords, Geometry, SectionShape, presets};
pub use mark::{Mark, MarkError, MarkModel};
pub use memory::{
    Block, ForeignBlock, LostBlocks, MetadataMemory, Origin, OutOfMemory, PhysMap, Rejected, ZeroIsNew,
};
pub use metadata::{MetadataBlock, MetadataModel, MetadataUse};
pub use model::MemoryModel;
pub use numbers::{ByteLen, NodeId, PageCount, Pfn, PhysAddr, RootNr, SectionNr, SubsectionIdx, VirtAddr};
pub use paging::{AddressSpace, LeafSize, LinkRefused, OtherAddressSpace, PagingDepth};
pub use place::{ArrayPlace, NoArray, PlaceClaim};
pub use range::{PfnRange, PhysRange, ReversedRange, VirtRange};
pub use reader::{GracePeriod, NeverReclaim, Reader, Reclaim, StaticReader, Unpublished};
pub use refold::{QuietDescriptors, RefoldError, Refolded};
pub use regions::{Region, RegionKind, Regions, RegionsError, WhatIs};
pub use section_loss::SectionLoss;
pub use slot::{Slot, SlotValue};
pub use stamp::{SectionStamp, Stamp};
pub use subsections::{SpanError, SubsectionBits};
pub use writer::{HeldSlot, Turn, Writer, WriterSlot};

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
