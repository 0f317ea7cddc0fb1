//! The decisions that a populate leaves to its caller.
//!
//! # Invariants
//!
//! 1. A plan chooses memory and sizes. Which entries change, and how that is undone, is the populate's alone.

use sparsemem_core::{LeafSize, PhysAddr, VirtRange};

use crate::Mapping;

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
    /// This page, which other leaves map too, to read only.
    Shared(PhysAddr),
}

/// What [`PageTable::populate_as`](crate::PageTable::populate_as) puts into the slots of a range.
pub trait Plan {
    /// Whether a leaf of `size` may take an empty slot.
    fn large(&mut self, slot: VirtRange, size: LeafSize) -> Choice;

    /// The memory for an empty slot of the smallest size; a new page by default.
    fn small(&mut self, slot: VirtRange) -> Small {
        let _ = slot;
        Small::New
    }

    /// Whether a leaf that is there serves; by default if it has memory of its own.
    fn accepts(&self, found: &Mapping) -> bool {
        found.origin.is_some()
    }
}

/// New memory everywhere, in leaves of sizes that a closure chooses.
pub(crate) struct New<P>(pub(crate) P);

impl<P: FnMut(VirtRange, LeafSize) -> Choice> Plan for New<P> {
    fn large(&mut self, slot: VirtRange, size: LeafSize) -> Choice {
        (self.0)(slot, size)
    }
}
