//! The decisions that a populate leaves to its caller, and the counts of what it made.
//!
//! # Invariants
//!
//! 1. A plan chooses memory and sizes. Which entries change, and how that is undone, is the populate's alone.

use sparsemem_core::{LeafSize, Origin, PhysAddr, VirtRange};

use crate::{LeafCounts, Mapping};

/// The decision whether a large leaf is put in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Put a leaf there, even if only a part of the slot was asked for.
    Place,
    /// Continue with smaller leaves.
    Smaller,
}

/// The memory of a leaf of the smallest size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Small {
    /// A new page of zeros, for this leaf alone.
    New,
    /// This page, which other leaves map too, to read only: see [`Plan`].
    Shared(PhysAddr),
}

/// Decides what [`PageTable::populate_as`](crate::PageTable::populate_as) puts into the slots of a range.
///
/// # Safety
///
/// A page that [`Plan::small`] returns as [`Small::Shared`] is the implementor's, and stays so, without anybody writing to it,
/// as long as a leaf maps it: neither an undo nor an unmap gives it back.
///
/// ```compile_fail,E0200
/// use sparsemem_core::{LeafSize, VirtRange};
/// use sparsemem_page_table::{Choice, Plan};
///
/// struct Any;
///
/// impl Plan for Any {
///     fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
///         Choice::Smaller
///     }
/// }
/// ```
pub unsafe trait Plan {
    /// Decides whether a leaf of `size` takes an empty slot.
    fn large(&mut self, slot: VirtRange, size: LeafSize) -> Choice;

    /// The memory for an empty slot of the smallest size; a new page by default.
    fn small(&mut self, slot: VirtRange) -> Small {
        let _ = slot;
        Small::New
    }

    /// True if a leaf that is there serves; by default if it has memory of its own.
    fn accepts(&self, found: &Mapping) -> bool {
        found.origin.is_some()
    }
}

/// New memory everywhere, in leaves of sizes that a closure chooses.
pub(crate) struct New<P>(pub(crate) P);

// SAFETY: it shares no page.
unsafe impl<P: FnMut(VirtRange, LeafSize) -> Choice> Plan for New<P> {
    fn large(&mut self, slot: VirtRange, size: LeafSize) -> Choice {
        (self.0)(slot, size)
    }
}

/// The leaves and tables that a successful [`PageTable::populate`](crate::PageTable::populate) made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "reports how much memory now belongs to the tables"]
pub struct Populated {
    pub(crate) leaves: LeafCounts,
    pub(crate) nr_tables: u64,
    /// One bit for the origin, by its code, of every leaf that was made or found.
    pub(crate) origins: u8,
    /// Leaves that were there before.
    pub(crate) found: u64,
    /// Leaves that were made and map a shared page.
    pub(crate) shared: u64,
}

impl Populated {
    /// Counts what another populate made.
    pub(crate) fn add(&mut self, other: Self) {
        self.leaves.add_all(other.leaves);
        self.nr_tables += other.nr_tables;
        self.origins |= other.origins;
        self.found += other.found;
        self.shared += other.shared;
    }

    /// The leaves that were made, with memory of their own.
    #[must_use]
    pub const fn leaves(self) -> LeafCounts {
        self.leaves
    }

    /// The number of leaves that were made and map a shared page.
    #[must_use]
    pub const fn shared(self) -> u64 {
        self.shared
    }

    /// The number of table pages that were made.
    #[must_use]
    pub const fn nr_tables(self) -> u64 {
        self.nr_tables
    }

    /// True if no leaf was there before, so that all of the range is new memory.
    #[must_use]
    pub const fn is_all_new(self) -> bool {
        self.found == 0
    }

    /// True if the memory of a leaf, made or found, is from `origin`.
    #[must_use]
    pub const fn has_leaf_from(self, origin: Origin) -> bool {
        self.origins & 1 << origin.code() != 0
    }

    /// True if the call made nothing, because everything was mapped already.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.leaves.total() == 0 && self.shared == 0 && self.nr_tables == 0
    }
}
