//! A checked recording, in the types of the workspace.
//!
//! # Invariants
//!
//! 1. The first operation is the boot, and there is no other boot.
//! 2. Every range consists of whole frames below the kernel's maximum (memory of boot does after rounding).
//! 3. All section rows have a subsection map if the kernel had a virtual memmap, else none has.

use core::fmt;
use std::collections::BTreeSet;

use sparsemem_altmap::AltmapSpec;
use sparsemem_core::{
    ByteLen, CompoundOrder, NodeId, PageCount, PfnRange, PhysRange, SectionFlags, SectionShape,
    SubsectionBits,
};

use super::kernel::{DESCRIPTOR, Geo, Kernel};

/// A checked recording.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// Short name; the scenario is `linux/` and this.
    pub(super) case: String,
    /// A description of the recording.
    pub(super) about: String,
    /// The memory that the kernel registered at boot.
    pub(super) memory: Vec<(PhysRange, NodeId)>,
    /// Memory that is absent at boot and that some step adds.
    pub(super) later: Vec<PhysRange>,
    /// The recorded kernel.
    pub(super) kernel: Kernel,
    /// Bytes of a memory block.
    pub(super) memory_block: ByteLen,
    /// The operations, and the recorded state after each step.
    pub(super) steps: Vec<Step>,
    /// Tags of the pages that were registered at boot, after the last step.
    pub(super) tags: Option<Vec<TagRun>>,
}

impl Script {
    /// All operations, in order.
    pub(super) fn ops(&self) -> impl Iterator<Item = Op> {
        self.steps.iter().flat_map(|step| step.ops.iter().copied())
    }

    /// The nodes with memory of boot of which nothing is removed.
    pub(super) fn nodes_that_stay(&self) -> BTreeSet<u64> {
        let removed: Vec<PfnRange> = self.ops().filter_map(Op::removed).collect();
        let nodes = |wanted: bool| {
            let goes = |range: &PhysRange| removed.iter().any(|it| it.overlaps(range.whole_frames::<Geo>()));
            let of_kind = self.memory.iter().filter(move |(range, _)| goes(range) == wanted);
            of_kind.map(|(_, node)| u64::from(node.get())).collect::<BTreeSet<_>>()
        };
        nodes(false).difference(&nodes(true)).copied().collect()
    }
}

/// The operations of a step, and the recorded state after them.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The operations, in order.
    pub(super) ops: Vec<Op>,
    /// Every section entry that is not zero.
    pub(super) sections: Vec<SectionRow>,
    /// Roots that exist, by the recorded kernel's numbers.
    pub(super) roots: Option<Vec<u64>>,
    /// Mapped runs of the array: offsets, and the size of the mappings.
    pub(super) mapped: Vec<(u64, u64, u64)>,
    /// Physical memory of the array: offsets, and the physical address of the first.
    pub(super) backing: Vec<(u64, u64, u64)>,
    /// Altmaps of memory that is there after the step.
    pub(super) altmaps: Vec<AltmapSpec>,
    /// RAM and devices of the resource tree.
    pub(super) resources: Option<Vec<ResourceRow>>,
}

/// A section entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionRow {
    /// Its number.
    pub(super) nr: u64,
    /// Flags of its word.
    pub(super) flags: SectionFlags,
    /// Its subsection map, if the kernel had one.
    pub(super) subsections: Option<SubsectionBits>,
    /// The rest of its word minus the array's base; without an array, the place of its memmap, if it has one.
    pub(super) memmap: Option<u64>,
    /// True if it has a usage.
    pub(super) has_usage: bool,
}

/// A line of the resource tree that this project's resource tree has as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResourceRow {
    /// Whole frames.
    pub(super) frames: PfnRange,
    /// True for a device, and false for RAM.
    pub(super) is_device: bool,
}

/// Pages with the same tag: first, end, type, section or node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TagRun {
    /// The pages.
    pub(super) pages: PfnRange,
    /// 12 is the memmap of a section, 13 is mixed metadata, 14 is node data.
    pub(super) kind: u8,
    /// The section or node.
    pub(super) id: u64,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Boots: makes sections, usages and memmaps for the memory that the kernel registered.
    Boot,
    /// Adds RAM, which is offline afterwards.
    AddMemory {
        /// The frames.
        frames: PfnRange,
        /// Their node.
        node: NodeId,
        /// The frames that hold the descriptors of the RAM, if it hosts them.
        altmap: Option<AltmapSpec>,
    },
    /// Removes RAM.
    RemoveMemory(PfnRange),
    /// Gives RAM to the allocator.
    Online(PfnRange),
    /// Takes RAM from the allocator.
    Offline(PfnRange),
    /// Adds a device's memory.
    AddDevice {
        /// The frames.
        frames: PfnRange,
        /// The frames that hold the device's descriptors.
        altmap: Option<AltmapSpec>,
        /// Frames of each of its large pages, whose descriptors are folded; none if it has base pages only.
        compound: Option<PageCount>,
    },
    /// Removes a device's memory.
    RemoveDevice(PfnRange),
}

impl Op {
    /// The operation's name in recordings.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::AddMemory { .. } => "add_memory",
            Self::RemoveMemory(_) => "remove_memory",
            Self::Online(_) => "online",
            Self::Offline(_) => "offline",
            Self::AddDevice { .. } => "add_device",
            Self::RemoveDevice(_) => "remove_device",
        }
    }

    /// The frames of each large page of a device, if the operation folds their descriptors: not if it has an altmap
    /// (V-60), or if the descriptors of a page fit the page of memory that no other shares.
    pub(super) fn compound(self) -> Option<CompoundOrder> {
        match self {
            Self::AddDevice { altmap: None, compound: Some(frames), .. } => {
                CompoundOrder::of(frames).filter(|_| frames.get() > Geo::PAGE_SIZE / DESCRIPTOR)
            }
            _ => None,
        }
    }

    /// The altmap of memory that the operation adds.
    pub(super) const fn altmap(self) -> Option<AltmapSpec> {
        match self {
            Self::AddMemory { altmap, .. } | Self::AddDevice { altmap, .. } => altmap,
            _ => None,
        }
    }

    /// The frames that the operation adds.
    pub(super) const fn added(self) -> Option<PfnRange> {
        match self {
            Self::AddMemory { frames, .. } | Self::AddDevice { frames, .. } => Some(frames),
            _ => None,
        }
    }

    /// The frames that the operation removes.
    pub(super) const fn removed(self) -> Option<PfnRange> {
        match self {
            Self::RemoveMemory(frames) | Self::RemoveDevice(frames) => Some(frames),
            _ => None,
        }
    }

    /// The frames of the operation.
    pub(super) const fn frames(self) -> Option<PfnRange> {
        match self {
            Self::Boot => None,
            Self::AddMemory { frames, .. } | Self::AddDevice { frames, .. } => Some(frames),
            Self::RemoveMemory(frames)
            | Self::Online(frames)
            | Self::Offline(frames)
            | Self::RemoveDevice(frames) => Some(frames),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frames() {
            Some(frames) => write!(f, "{} {frames}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}
