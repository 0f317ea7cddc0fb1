//! The result: physical ranges, each of one kind and on one node.
//!
//! # Invariants
//!
//! 1. Ranges are sorted, do not overlap, are not empty, and neighbours differ in kind or node.
//! 2. Only kinds that a node can own ([`Kind::has_node`]) carry one.
//! 3. A layout has two views. [`Layout::ranges`] is the map as the firmware (or whoever edited it last) gave it.
//!    [`Layout::kernel_view`] is what a kernel makes of it; [`Layout::memory_ranges`] always uses that one.

use std::collections::BTreeSet;

use sparsemem_core::{ByteLen, NodeId, PhysAddr, PhysRange};

use crate::Kind;

/// A physical range of one kind on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutRange {
    /// Where it is.
    pub range: PhysRange,
    /// What it is.
    pub kind: Kind,
    /// The node it belongs to, if one was named.
    pub node: Option<NodeId>,
}

/// The physical layout of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    firmware: Vec<LayoutRange>,
    kernel: Vec<LayoutRange>,
    nodes: BTreeSet<NodeId>,
}

impl Layout {
    /// A layout of ranges that satisfy the invariants.
    pub(crate) fn new(firmware: Vec<LayoutRange>, kernel: Vec<LayoutRange>, nodes: BTreeSet<NodeId>) -> Self {
        Self { firmware, kernel, nodes }
    }

    /// The map in force before the kernel's own edits, lowest address first.
    #[must_use]
    pub fn ranges(&self) -> &[LayoutRange] {
        &self.firmware
    }

    /// The layout as a kernel takes it over:
    ///
    /// - edits that a log shows (`e820: update`, `e820: remove`) are applied, and so are the two that Linux makes on
    ///   every PC, the first page reserved and 640 KiB to 1 MiB removed, also when the log does not show them;
    /// - RAM is cut down to whole frames of 4 KiB, the smallest of any architecture; the rest is in no range;
    /// - device tree reservations inside RAM are RAM: Linux keeps descriptors for them.
    #[must_use]
    pub fn kernel_view(&self) -> Self {
        Self { firmware: self.kernel.clone(), kernel: self.kernel.clone(), nodes: self.nodes.clone() }
    }

    /// RAM as a kernel would register it (see [`kernel_view`](Self::kernel_view)), lowest address first; neighbours on
    /// the same node are one range. Where no node is named it is node 0.
    pub fn memory_ranges(&self) -> impl Iterator<Item = (PhysRange, NodeId)> + Clone + '_ {
        self.kernel
            .iter()
            .filter(|entry| entry.kind == Kind::Ram)
            .map(|entry| (entry.range, entry.node.unwrap_or_default()))
    }

    /// Every node that anything named and the kernel did not reject, also those without memory; node 0 alone when there is
    /// none.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().copied()
    }

    /// How many bytes of [`ranges`](Self::ranges) are of this kind.
    #[must_use]
    pub fn bytes_of(&self, kind: Kind) -> ByteLen {
        let ranges = self.firmware.iter().filter(|entry| entry.kind == kind);
        ByteLen::new(ranges.fold(0u64, |sum, entry| sum.saturating_add(entry.range.count().get())))
    }

    /// The first address above everything in [`ranges`](Self::ranges), or `None` if there is nothing.
    #[must_use]
    pub fn end(&self) -> Option<PhysAddr> {
        self.firmware.last().map(|entry| entry.range.end())
    }
}
