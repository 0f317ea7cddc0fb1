//! What of a section is in use: which subsections are populated, and the flags of its pageblocks.
//!
//! [`SectionUsage`] is what a section entry points to beside its memmap. Before it, a section was present as a whole or
//! not at all; with it, RAM and two devices of different lifetimes can share one section (Linux 5.3, "sub-section
//! memory hotplug").
//!
//! # Invariants
//!
//! 1. Only one writer at a time changes the subsection map; readers look at any time.
//! 2. A failed call changes no bit.
//! 3. The bits of one pageblock never straddle a word, so a block is read and written in one atomic step.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod pageblock;
mod subsection;
mod usage;

pub use pageblock::{Isolation, MigrateType, PageblockError};
pub use subsection::{ClearError, FillError};
pub use usage::SectionUsage;
