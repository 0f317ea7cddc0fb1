//! The usage of a section: the populated subsections, and the flags of its pageblocks.
//!
//! A section entry points to a [`SectionUsage`] beside its memmap. Without usages, a section is present as a whole or
//! not at all; with them, RAM and two devices of different lifetimes can share one section (Linux 5.3, "sub-section
//! memory hotplug").
//!
//! # Invariants
//!
//! 1. Only one writer at a time changes the subsection map; readers may read it at any time.
//! 2. A failed call changes no bit.
//! 3. The bits of one pageblock never straddle a word, so a block is read and written in one atomic step.
//!
//! Numbers such as X-09 refer to the project's list of [facts about Linux][facts].
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

mod pageblock;
mod subsection;
mod usage;

pub use pageblock::{Isolation, MigrateType, Pageblock, PageblockError, PageblockModel};
pub use subsection::{ClearError, FillError, SubsectionMap};
pub use usage::SectionUsage;
