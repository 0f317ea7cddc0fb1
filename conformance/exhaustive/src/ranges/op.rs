//! The operations on ranges of any number of sections, their answers, and what can be seen of them.

use crate::engine::Lines;
use crate::op;
use crate::shape::{CELLS, SECTIONS};
use crate::view::View;

/// What to do with a range.
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

/// What an operation answers. Ranges are of frames, blocks by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; these frames, counted from the region's first, have new descriptors.
    Done {
        fresh: u32,
    },
    /// Done; so many sections lost a part or all, and so many of them are absent now.
    Removed {
        sections: u64,
        gone: u64,
    },
    Empty,
    Unaligned,
    BeyondMaximum,
    /// The addresses belong to the resource at this range.
    Conflict(u64, u64),
    /// These addresses are not of the kind.
    NotRegistered(u64, u64),
    NotTheDevice(u64, u64),
    BlockMissing(u64),
    BlockNotOffline(u64),
    BlockElsewhere(u64),
    /// This part of the range is not RAM.
    Hole(u64, u64),
    /// An error that names another range than the one that was given, or one that cannot be.
    Misreported,
}

/// The state of a memory block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Block {
    #[default]
    None,
    Offline,
    Online,
    /// On its way, which nobody should ever see.
    Moving,
}

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Ram,
    Device,
    Other,
}

/// A resource: first frame, one behind the last, and what it is.
pub(crate) type Resource = (u64, u64, Owner);

/// Everything that can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeView {
    pub(crate) model: View,
    pub(crate) blocks: [Block; SECTIONS],
    /// Blocks outside the region.
    pub(crate) other_blocks: usize,
    pub(crate) resources: [Option<Resource>; CELLS],
    /// Resources that have no place in the list.
    pub(crate) more_resources: usize,
    /// Frames that the allocator may hand out, a bit each from the region's first.
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
