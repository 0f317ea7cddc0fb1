//! Errors, one type per operation.

use core::fmt;

use sparsemem_core::{LeafSize, LinkRefused, OutOfMemory, PhysAddr, VirtAddr, VirtRange};

use crate::Level;
use crate::root::BadRange;

/// The use of requested memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// A table page of this level.
    Table(Level),
    /// A leaf of this size.
    Leaf(LeafSize),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(level) => write!(f, "{level} table"),
            Self::Leaf(size) => write!(f, "{size} leaf"),
        }
    }
}

/// The reason why [`PageTable::populate`](crate::PageTable::populate) changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PopulateError {
    /// The range has no bytes.
    #[error("the range {range} has no bytes to populate; give a range that is not empty")]
    Empty {
        /// The range that was given.
        range: VirtRange,
    },
    /// The range has addresses that the processor cannot translate at this depth.
    #[error(
        "the range {range} has addresses that are not canonical; give a range in one half of the address space"
    )]
    NonCanonical {
        /// The range that was given.
        range: VirtRange,
    },
    /// There is no memory for a table or for a leaf of the smallest size.
    #[error("out of memory for a {what} at {at}: {error}")]
    OutOfMemory {
        /// The first unmapped address that the table or leaf would have translated.
        at: VirtAddr,
        /// The use of the memory.
        what: Wanted,
        /// The error of the environment.
        error: OutOfMemory,
    },
    /// The memory that was allocated is not aligned to its own size; it was given back.
    #[error("the memory at {phys} is misaligned for a {what} at {at}; align it to its size")]
    Misaligned {
        /// The first unmapped address that the table or leaf would have translated.
        at: VirtAddr,
        /// The memory that was allocated.
        phys: PhysAddr,
        /// The use of the memory.
        what: Wanted,
    },
    /// No entry can point to the memory that was allocated; it was given back.
    #[error("the memory at {phys} is beyond the reach of a page-table entry, for a {what} at {at}")]
    OutOfReach {
        /// The first unmapped address that the table or leaf would have translated.
        at: VirtAddr,
        /// The memory that was allocated.
        phys: PhysAddr,
        /// The use of the memory.
        what: Wanted,
    },
    /// Something is mapped where the plan wants other memory.
    #[error("{at} is mapped already, by a leaf that the plan does not accept; unmap it first")]
    Mapped {
        /// The first address of the leaf.
        at: VirtAddr,
    },
    /// The environment refused a leaf.
    #[error("a {size} leaf cannot be mapped: {refused}")]
    LinkRefused {
        /// The size of the leaf.
        size: LeafSize,
        /// The error of the environment.
        refused: LinkRefused,
    },
}

impl PopulateError {
    pub(crate) const fn bad_range(bad: BadRange, range: VirtRange) -> Self {
        match bad {
            BadRange::Empty => Self::Empty { range },
            BadRange::NonCanonical => Self::NonCanonical { range },
        }
    }
}

/// The reason why [`PageTable::stage`](crate::PageTable::stage) has no place for leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// Entries of the format must not change while they are in use.
    #[error(
        "this processor's page tables cannot change an entry that is in use; unmap first, or map it so at once"
    )]
    InUse,
    /// There is no memory for a table.
    #[error(transparent)]
    OutOfMemory(OutOfMemory),
}

/// The reason why [`PageTable::unmap`](crate::PageTable::unmap) changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnmapError {
    /// The range has no bytes.
    #[error("the range {range} has no bytes to unmap; give a range that is not empty")]
    Empty {
        /// The range that was given.
        range: VirtRange,
    },
    /// The range has addresses that the processor cannot translate at this depth.
    #[error(
        "the range {range} has addresses that are not canonical; give a range in one half of the address space"
    )]
    NonCanonical {
        /// The range that was given.
        range: VirtRange,
    },
}

impl UnmapError {
    pub(crate) const fn bad_range(bad: BadRange, range: VirtRange) -> Self {
        match bad {
            BadRange::Empty => Self::Empty { range },
            BadRange::NonCanonical => Self::NonCanonical { range },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn an_error_says_what_was_wanted() {
        let (at, phys) = (VirtAddr::new(0x1000), PhysAddr::new(0x800));
        let message = |what| PopulateError::Misaligned { at, phys, what }.to_string();
        assert!(message(Wanted::Table(Level::PMD)).contains("for a PMD table"));
        let leaf = message(Wanted::Leaf(LeafSize::Size2MiB));
        assert!(leaf.contains(&std::format!("for a {} leaf", LeafSize::Size2MiB)), "{leaf}");
    }
}
