//! The nodes that have memory in one memory block.
//!
//! # Invariants
//!
//! 1. There is at least one node. Unused places repeat the first node.

use sparsemem_core::NodeId;

/// Up to eight nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nodes([NodeId; Nodes::MOST]);

impl Nodes {
    /// The largest number of nodes. The limit exists because there is no heap; it is far more than meet in one block
    /// of any machine.
    pub(crate) const MOST: usize = 8;

    /// One node.
    pub(crate) const fn one(node: NodeId) -> Self {
        Self([node; Self::MOST])
    }

    /// True if `node` is one of them.
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    /// The only node, or `None` if there are several.
    pub(crate) fn single(&self) -> Option<NodeId> {
        let [first, rest @ ..] = self.0;
        rest.iter().all(|node| *node == first).then_some(first)
    }

    /// The same nodes and one more, or `None` if there is no room.
    pub(crate) fn with(mut self, node: NodeId) -> Option<Self> {
        if !self.contains(node) {
            let [first, rest @ ..] = &mut self.0;
            *rest.iter_mut().find(|place| *place == first)? = node;
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_join_until_there_is_no_place() {
        let most = u32::try_from(Nodes::MOST).unwrap();
        let mut nodes = Nodes::one(NodeId::new(5));
        assert_eq!(nodes.single(), Some(NodeId::new(5)));
        for nr in 6..5 + most {
            assert!(!nodes.contains(NodeId::new(nr)));
            nodes = nodes.with(NodeId::new(nr)).unwrap();
            assert_eq!(nodes.single(), None);
        }
        assert!((5..5 + most).all(|nr| nodes.contains(NodeId::new(nr))));
        assert_eq!(nodes.with(NodeId::new(0)), None);
        assert_eq!(nodes.with(NodeId::new(7)), Some(nodes), "it is there already");
    }
}
