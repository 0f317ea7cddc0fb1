//! Which node memory belongs to, as far as somebody said so: where metadata of a node is looked for first.
//!
//! # Invariants
//!
//! 1. Ranges do not overlap: memory is settled when it comes, and leaves as it came.

use arrayvec::ArrayVec;
use sparsemem::{NodeId, PfnRange};

/// Ranges that there is room for: those of boot, and a DIMM in each of QEMU's slots.
const MOST: usize = super::survey::MOST + 256;

/// Ranges with their nodes.
pub(super) struct Homes(ArrayVec<(PfnRange, NodeId), MOST>);

/// There is no room for one more range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{frames} of node {node} is one range too many: this kernel keeps the nodes of {MOST}")]
pub(crate) struct Crowded {
    /// The range.
    frames: PfnRange,
    /// Its node.
    node: NodeId,
}

impl Homes {
    /// Nothing is said of any memory.
    pub(super) const fn new() -> Self {
        Self(ArrayVec::new_const())
    }

    /// Memory belongs to a node from now on.
    ///
    /// # Errors
    ///
    /// [`Crowded`].
    pub(super) fn settle(&mut self, frames: PfnRange, node: NodeId) -> Result<(), Crowded> {
        self.0.try_push((frames, node)).map_err(|_| Crowded { frames, node })
    }

    /// Memory has gone.
    pub(super) fn leave(&mut self, frames: PfnRange) {
        self.0.retain(|(known, _)| *known != frames);
    }

    /// The memory of a node.
    pub(super) fn of(&self, node: NodeId) -> impl Iterator<Item = PfnRange> {
        self.0.iter().filter(move |(_, of)| *of == node).map(|(frames, _)| *frames)
    }
}
