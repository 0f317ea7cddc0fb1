//! Page tables for a kernel's virtual memmap, of any entry format: populate, walk, unmap, give empty tables back.
//!
//! A [`PageTable`] is a handle of a live tree of tables. [`populate`](PageTable::populate) maps memory into a range
//! with large or small leaves as a policy says, all of it or nothing. [`walk`](PageTable::walk) looks up one address,
//! [`mappings`](PageTable::mappings) lists what a range holds, [`unmap`](PageTable::unmap) takes memory and empty tables
//! out again. What an entry looks like, and how many levels there are, is the format's business: [`EntryFormat`]. Where
//! memory comes from, how a table is reached and how translations are flushed is the environment's, the same one as the
//! memory models have: [`MetadataMemory`](sparsemem_core::MetadataMemory) and
//! [`AddressSpace`](sparsemem_core::AddressSpace); looking needs its [`PhysMap`](sparsemem_core::PhysMap) only. Nothing
//! here knows what the range is for.
//!
//! The crate `sparsemem-x86_64-page-table` has the format of x86_64, and an example that runs.
//!
//! # Invariants
//!
//! 1. No range is cut at a table boundary: operations step from entry to entry, at whatever level the walk ends.
//! 2. A populate that fails leaves every table as it was, and everything that it allocated goes back. So does one
//!    whose policy unwinds.
//! 3. Memory is freed only after its entry was cleared and the addresses were flushed; a type sees to the order. An
//!    unmap whose callback unwinds has flushed and freed what it cleared.
//! 4. The root table is never freed, and a table only if all of its entries are empty.
//! 5. Nothing panics, whatever range is given, unless a callback does.
//! 6. What is allocated goes back to where it came from: each entry holds the [`Origin`](sparsemem_core::Origin) of what
//!    it points to, in two bits that the processor ignores. What does not go back is counted.
#![no_std]
#![allow(unsafe_code, reason = "reads and writes tables behind raw addresses")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod descent;
mod error;
mod format;
mod halves;
mod level;
mod mappings;
mod page;
mod populate;
mod receipt;
mod sweep;
mod table;
#[cfg(test)]
mod toy;
mod unmap;
mod walk;

pub use error::{PopulateError, UnmapError, Wanted};
pub use format::{EntryFormat, Target};
pub use level::{LeafCounts, Level};
pub use mappings::{Mappings, TablePages};
pub use populate::{Choice, Populated};
pub use sweep::Fate;
pub use unmap::Unmapped;
pub use walk::{Mapping, PageTable, Walk};
