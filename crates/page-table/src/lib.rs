//! Page tables for a kernel's virtual memmap, of any entry format: populate, walk, unmap, free empty tables.
//!
//! A [`PageTable`] is a handle of a live tree of tables. [`populate`](PageTable::populate) maps memory into a range
//! with large or small leaves as a policy decides, all of it or nothing. [`walk`](PageTable::walk) looks up one
//! address, [`mappings`](PageTable::mappings) lists the leaves of a range, [`unmap`](PageTable::unmap) removes leaves
//! and empty tables. [`stage`](PageTable::stage) makes leaves aside, which take the places of those in use at once. The format, [`EntryFormat`], defines the bits of an entry, the number of levels,
//! what an entry of each translates and which have leaves. The
//! environment, the same one as the memory models have, gives memory, reaches tables and flushes translations:
//! [`MetadataMemory`](sparsemem_core::MetadataMemory) and [`AddressSpace`](sparsemem_core::AddressSpace); operations
//! that only read need its [`PhysMap`](sparsemem_core::PhysMap) only. This crate does not depend on the use of the
//! range.
//!
//! The crate `sparsemem-x86_64-page-table` has the format of x86_64, and an example that runs.
//!
//! # Invariants
//!
//! 1. No range is cut at a table boundary: operations step from entry to entry, at whatever level the walk ends.
//! 2. A populate that fails, or whose policy unwinds, leaves every table as it was, and gives back everything that it
//!    allocated.
//! 3. Memory is freed only after its entry was cleared and the addresses were flushed; a type enforces the order. An
//!    unmap whose callback unwinds has flushed and freed the targets of all entries that it cleared.
//! 4. The root table is never freed, and a table only if all of its entries are empty.
//! 5. Nothing panics, whatever range is given, unless a callback does.
//! 6. Memory is given back with its origin: each entry holds the [`Origin`](sparsemem_core::Origin) of its target, in
//!    bits that the processor ignores. Blocks that the environment refuses are counted.
//! 7. An entry in use is changed only where its format allows it, and the memory that it led to is freed after the flush.
//! 8. A shared page is given back by whoever brought it, never with an entry that maps it.
#![no_std]
#![allow(unsafe_code, reason = "reads and writes tables through raw addresses")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod descent;
mod error;
mod format;
mod level;
mod mappings;
mod page;
mod plan;
mod populate;
mod receipt;
mod root;
mod staging;
mod sweep;
mod table;
#[cfg(test)]
mod toy;
mod unmap;
mod walk;

pub use error::{PopulateError, StageError, UnmapError, Wanted};
pub use format::{EntryFormat, InUse, Target};
pub use level::{LeafCounts, Level};
pub use mappings::{Mappings, TablePages};
pub use plan::{Choice, Plan, Populated, Small};
pub use root::Root;
pub use staging::{Exchanged, Staging};
pub use sweep::Fate;
pub use unmap::Unmapped;
pub use walk::{Mapping, PageTable, Walk};
