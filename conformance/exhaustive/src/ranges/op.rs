//! The operations on ranges of any number of sections, their answers, and everything that can be observed.

use crate::engine::Lines;
use crate::op;
use crate::shape::{CELLS, SECTIONS};
use crate::view::View;

/// The kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    AddMemory,
    RemoveMemory,
    Online,
    Offline,
    AddDevice,
    RemoveDevice,
}

impl op::Verb for Verb {
    const ALL: &'static [Self] = &[
        Self::AddMemory,
        Self::RemoveMemory,
        Self::Online,
        Self::Offline,
        Self::AddDevice,
        Self::RemoveDevice,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::AddMemory => "add memory",
            Self::RemoveMemory => "remove memory",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::AddDevice => "add device",
            Self::RemoveDevice => "remove device",
        }
    }
}

/// An operation of these.
pub(crate) type Op = op::Op<Verb>;

/// The answer of an operation. Ranges are in frames, blocks are given by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The operation succeeded; these frames, counted from the region's first, have new descriptors.
    Done {
        fresh: u32,
    },
    /// The operation succeeded; this many sections lost memory, and this many of them are absent now.
    Removed {
        sections: u64,
        gone: u64,
    },
    Empty,
    Unaligned,
    BeyondMaximum,
    /// The addresses belong to the resource with this range.
    Conflict(u64, u64),
    /// These addresses are not registered as this kind.
    NotRegistered(u64, u64),
    NotTheDevice(u64, u64),
    BlockMissing(u64),
    BlockNotOffline(u64),
    BlockElsewhere(u64),
    /// This part of the range is not RAM.
    Hole(u64, u64),
    /// The error names another range than the given one, or must not occur.
    Misreported,
}

/// The state of a memory block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Block {
    #[default]
    None,
    Offline,
    Online,
    /// The block is in transition, which must never be observed.
    Moving,
}

/// The kind of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Ram,
    Device,
    Other,
}

/// A resource: first frame, first frame past it, and kind.
pub(crate) type Resource = (u64, u64, Owner);

/// Everything that can be observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeView {
    pub(crate) model: View,
    pub(crate) blocks: [Block; SECTIONS],
    /// The number of memory blocks outside the region.
    pub(crate) other_blocks: usize,
    pub(crate) resources: [Option<Resource>; CELLS],
    /// The number of resources for which the list has no room.
    pub(crate) more_resources: usize,
    /// Frames that the allocator may hand out, one bit each, counted from the region's first.
    pub(crate) usable: u32,
    /// Frames that the allocator has and may not hand out.
    pub(crate) isolated: u32,
}

impl Lines for RangeView {
    fn lines(&self) -> Vec<String> {
        let Self { model, blocks, other_blocks, resources, more_resources, usable, isolated } = self;
        let mut lines = model.lines();
        lines.push(format!("blocks {blocks:?} and {other_blocks} others"));
        let listed: Vec<_> = resources.iter().flatten().collect();
        lines.push(format!("resources {listed:?} and {more_resources} more"));
        lines.push(format!("allocator: usable {usable:#018b}, isolated {isolated:#018b}"));
        lines
    }
}
