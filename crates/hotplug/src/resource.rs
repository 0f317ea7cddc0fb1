//! One resource: a range of physical addresses, what it is, and who calls it what.

use sparsemem_core::PhysRange;

use crate::Full;

/// What an address range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResourceKind {
    /// RAM that the kernel uses.
    SystemRam,
    /// Memory that firmware describes as persistent; devices and RAM may be made of it.
    Persistent,
    /// The memory of a device.
    Device,
    /// Nobody's to use.
    Reserved,
    /// Addresses behind a bridge or a hotplug window; others may lie in it.
    Window,
}

impl ResourceKind {
    /// Whether other resources may lie inside one of this kind.
    #[must_use]
    pub const fn holds_others(self) -> bool {
        matches!(self, Self::Persistent | Self::Window)
    }
}

/// Whether a resource may become one with an equal neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Merge {
    /// It stays by itself.
    #[default]
    Separate,
    /// It may, if both allow it (Linux: `MHP_MERGE_RESOURCE`, H-16).
    Allowed,
}

/// A range of physical addresses with an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The addresses.
    pub range: PhysRange,
    /// What they are.
    pub kind: ResourceKind,
    /// What the owner calls them.
    pub name: &'static str,
    /// Whether it may merge.
    pub merge: Merge,
}

impl Resource {
    /// Whether the other differs in nothing but its range.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        Self { range: other.range, ..*self } == *other
    }
}

/// Why a resource cannot be had or given back. The tree is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The range has no addresses.
    #[error("{range} has no addresses")]
    Empty {
        /// The range that was given.
        range: PhysRange,
    },
    /// Somebody else has some of the addresses.
    #[error("{range} conflicts with {:?} \"{}\" at {}", with.kind, with.name, with.range)]
    Conflict {
        /// The range that was given.
        range: PhysRange,
        /// The lowest resource that stands in the way.
        with: Resource,
    },
    /// Nothing of this kind is registered there.
    #[error("{missing} of {range} is not registered as {kind:?}")]
    Absent {
        /// The range that was given.
        range: PhysRange,
        /// The kind that was given.
        kind: ResourceKind,
        /// The lowest part of the range that is not of the kind.
        missing: PhysRange,
    },
    /// A resource that should go still holds another.
    #[error("{range} still holds \"{}\" at {}; release that first", child.name, child.range)]
    HoldsOthers {
        /// The range that was given.
        range: PhysRange,
        /// The first resource in it.
        child: Resource,
    },
    /// No room for more resources.
    #[error("no room for a resource: {0}")]
    Full(#[from] Full),
}
