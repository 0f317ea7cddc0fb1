//! One resource: a range of physical addresses, its kind, and its name.

use sparsemem_core::PhysRange;

use crate::Full;

/// The kind of memory at an address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResourceKind {
    /// RAM that the kernel uses.
    SystemRam,
    /// Memory that firmware describes as persistent; devices and RAM may lie in it.
    Persistent,
    /// The memory of a device.
    Device,
    /// Memory that must not be used.
    Reserved,
    /// Addresses of a bridge or a hotplug window; others may lie in it.
    Window,
}

impl ResourceKind {
    /// True if other resources may lie inside a resource of this kind.
    #[must_use]
    pub const fn holds_others(self) -> bool {
        matches!(self, Self::Persistent | Self::Window)
    }
}

/// Says whether a resource may merge with an equal neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Merge {
    /// The resource does not merge.
    #[default]
    Separate,
    /// The resource merges if both allow it (Linux: `MHP_MERGE_RESOURCE`, H-16).
    Allowed,
}

/// A range of physical addresses with an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The addresses.
    pub range: PhysRange,
    /// The kind of memory.
    pub kind: ResourceKind,
    /// The owner's name for it.
    pub name: &'static str,
    /// Says whether the resource may merge.
    pub merge: Merge,
}

impl Resource {
    /// True if the other resource differs only in its range.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        Self { range: other.range, ..*self } == *other
    }
}

/// The reason why a resource cannot be registered or released. The tree has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The range has no addresses.
    #[error("{range} has no addresses")]
    Empty {
        /// The range that was given.
        range: PhysRange,
    },
    /// Another resource has some of the addresses.
    #[error("{range} conflicts with {:?} \"{}\" at {}", with.kind, with.name, with.range)]
    Conflict {
        /// The range that was given.
        range: PhysRange,
        /// The lowest resource that conflicts.
        with: Resource,
    },
    /// A part of the range is not registered as this kind.
    #[error("{missing} of {range} is not registered as {kind:?}")]
    Absent {
        /// The range that was given.
        range: PhysRange,
        /// The kind that was given.
        kind: ResourceKind,
        /// The lowest part of the range that is not of this kind.
        missing: PhysRange,
    },
    /// A resource that is to be released still holds another.
    #[error("{range} still holds \"{}\" at {}; release that first", child.name, child.range)]
    HoldsOthers {
        /// The range that was given.
        range: PhysRange,
        /// The first resource in it.
        child: Resource,
    },
    /// The table has no room for more resources.
    #[error("no room for a resource: {0}")]
    Full(#[from] Full),
}
