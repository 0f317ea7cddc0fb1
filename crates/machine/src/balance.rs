//! Counts of allocated blocks, as values that can be compared.

use std::collections::BTreeMap;

use sparsemem_core::{NodeId, Origin};

/// A number of blocks, and the bytes that were requested with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub bytes: u64,
}

impl Count {
    /// The sum of both counts.
    const fn plus(self, other: Self) -> Self {
        Self { blocks: self.blocks + other.blocks, bytes: self.bytes + other.bytes }
    }
}

/// Allocated blocks, per origin and per node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    nodes: BTreeMap<NodeId, PerOrigin>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PerOrigin {
    boot: Count,
    runtime: Count,
}

impl Balance {
    /// No blocks from any of `nodes`.
    pub(crate) fn of_nodes(nodes: impl Iterator<Item = NodeId>) -> Self {
        Self { nodes: nodes.map(|node| (node, PerOrigin::default())).collect() }
    }

    /// All blocks.
    #[must_use]
    pub fn total(&self) -> Count {
        self.of(Origin::Boot).plus(self.of(Origin::Runtime))
    }

    /// Blocks from `origin`; a machine allocates none from an altmap.
    #[must_use]
    pub fn of(&self, origin: Origin) -> Count {
        self.nodes.keys().map(|node| self.at(origin, *node)).fold(Count::default(), Count::plus)
    }

    /// Blocks on `node`.
    #[must_use]
    pub fn on(&self, node: NodeId) -> Count {
        self.at(Origin::Boot, node).plus(self.at(Origin::Runtime, node))
    }

    /// Blocks from `origin` on `node`.
    #[must_use]
    pub fn at(&self, origin: Origin, node: NodeId) -> Count {
        let of_node = self.nodes.get(&node).copied().unwrap_or_default();
        match origin {
            Origin::Boot => of_node.boot,
            Origin::Runtime => of_node.runtime,
            Origin::Altmap => Count::default(),
        }
    }

    /// True if no blocks are allocated.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.total() == Count::default()
    }

    /// The nodes that blocks can come from, lowest first.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// Counts a block that is allocated.
    pub(crate) fn gave(&mut self, origin: Origin, node: NodeId, bytes: u64) {
        if let Some(count) = self.slot(origin, node) {
            *count = Count { blocks: count.blocks + 1, bytes: count.bytes + bytes };
        }
    }

    /// Counts a block that is freed.
    pub(crate) fn took(&mut self, origin: Origin, node: NodeId, bytes: u64) {
        if let Some(count) = self.slot(origin, node) {
            *count = Count { blocks: count.blocks - 1, bytes: count.bytes - bytes };
        }
    }

    fn slot(&mut self, origin: Origin, node: NodeId) -> Option<&mut Count> {
        let of_node = self.nodes.entry(node).or_default();
        match origin {
            Origin::Boot => Some(&mut of_node.boot),
            Origin::Runtime => Some(&mut of_node.runtime),
            Origin::Altmap => None,
        }
    }
}

/// A fingerprint of an allocator: every free range and every allocated block, with address, size and origin.
///
/// Equal fingerprints of one machine, taken before and after an operation, show that the operation left the allocator
/// as it was. Compare them within one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateDigest(pub(crate) u64);
