//! One memory block: its number, its states, and the legal transitions between them.
//!
//! # Invariants
//!
//! 1. A transition that is not in [`Transition`] cannot be expressed, and each transition applies only in the state
//!    that it starts from.
//! 2. `node` is `Some` exactly when `nodes` has a single node.

use core::fmt;

use sparsemem_core::{NodeId, PageCount};

use crate::nodes::Nodes;

/// The number of a memory block: frame number divided by the frames of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct BlockNr(u64);

impl BlockNr {
    /// Wraps a raw number.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the raw number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for BlockNr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for BlockNr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockNr({})", self.0)
    }
}

/// Successive memory blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSpan {
    first: BlockNr,
    count: u64,
}

impl BlockSpan {
    /// `count` blocks from `first`; the span is cut off at the largest block number.
    #[must_use]
    pub const fn new(first: BlockNr, count: u64) -> Self {
        let room = u64::MAX - first.get();
        Self { first, count: if count < room { count } else { room } }
    }

    /// The first block of the span.
    #[must_use]
    pub const fn first(self) -> BlockNr {
        self.first
    }

    /// The number of blocks.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// True if the span contains a block.
    #[must_use]
    pub const fn contains(self, block: BlockNr) -> bool {
        block.get() >= self.first.get() && block.get() - self.first.get() < self.count
    }

    /// The blocks, lowest first.
    pub fn iter(self) -> impl Iterator<Item = BlockNr> + Clone {
        (self.first.get()..self.first.get() + self.count).map(BlockNr::new)
    }
}

/// The state of a memory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockState {
    /// The block has descriptors, and the allocator does not have its frames.
    Offline,
    /// The block is about to come online. Differs from Linux: there the block stays `OFFLINE` meanwhile (I-20).
    GoingOnline,
    /// The allocator has the block's frames.
    Online,
    /// The block is about to go offline.
    GoingOffline,
}

impl fmt::Display for BlockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "offline",
            Self::GoingOnline => "going online",
            Self::Online => "online",
            Self::GoingOffline => "going offline",
        })
    }
}

/// The table of legal transitions (I-20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Offline to going online.
    BeginOnline,
    /// Going online to online.
    FinishOnline,
    /// Going online back to offline.
    CancelOnline,
    /// Online to going offline.
    BeginOffline,
    /// Going offline to offline.
    FinishOffline,
    /// Going offline back to online.
    CancelOffline,
}

impl Transition {
    /// All transitions.
    pub const ALL: [Self; 6] = [
        Self::BeginOnline,
        Self::FinishOnline,
        Self::CancelOnline,
        Self::BeginOffline,
        Self::FinishOffline,
        Self::CancelOffline,
    ];

    /// The state that the block must be in before the transition.
    #[must_use]
    pub const fn from(self) -> BlockState {
        match self {
            Self::BeginOnline => BlockState::Offline,
            Self::FinishOnline | Self::CancelOnline => BlockState::GoingOnline,
            Self::BeginOffline => BlockState::Online,
            Self::FinishOffline | Self::CancelOffline => BlockState::GoingOffline,
        }
    }

    /// The state of the block after the transition.
    #[must_use]
    pub const fn to(self) -> BlockState {
        match self {
            Self::BeginOnline => BlockState::GoingOnline,
            Self::FinishOnline | Self::CancelOffline => BlockState::Online,
            Self::BeginOffline => BlockState::GoingOffline,
            Self::FinishOffline | Self::CancelOnline => BlockState::Offline,
        }
    }
}

/// A block is not in the state that a transition starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory block {block} is {from} and cannot become {to}")]
pub struct IllegalTransition {
    /// The block.
    pub block: BlockNr,
    /// The state of the block.
    pub from: BlockState,
    /// The state that the transition leads to.
    pub to: BlockState,
}

/// A memory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBlock {
    /// Its number.
    pub nr: BlockNr,
    /// Its state.
    pub state: BlockState,
    /// The node that all of the block's memory belongs to; `None` if several nodes have memory in it. A block of boot
    /// with several nodes cannot go offline (H-32).
    pub node: Option<NodeId>,
    /// Frames at the start of the block that hold its own memmap; no allocator gets them.
    pub memmap: PageCount,
    pub(crate) nodes: Nodes,
}

impl MemoryBlock {
    /// A block of one node, without a memmap of its own.
    pub(crate) const fn new(nr: BlockNr, state: BlockState, node: NodeId) -> Self {
        Self { nr, state, node: Some(node), memmap: PageCount::new(0), nodes: Nodes::one(node) }
    }

    /// True if a node has memory in the block, alone or with other nodes.
    #[must_use]
    pub fn has_memory_of(&self, node: NodeId) -> bool {
        self.nodes.contains(node)
    }

    /// The same block with memory of one more node, which may be a node that it has already; `None` if it has no room
    /// for another node.
    pub(crate) fn joined_by(self, node: NodeId) -> Option<Self> {
        let nodes = self.nodes.with(node)?;
        Some(Self { nodes, node: nodes.single(), ..self })
    }

    /// Moves the block to another state.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] if the block is not in the state that the transition starts from; the block is unchanged
    /// then. Source: Linux `memory_block_change_state`.
    pub fn apply(&mut self, transition: Transition) -> Result<(), IllegalTransition> {
        let Self { nr: block, state: from, .. } = *self;
        if from != transition.from() {
            return Err(IllegalTransition { block, from, to: transition.to() });
        }
        self.state = transition.to();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn block(state: BlockState) -> MemoryBlock {
        MemoryBlock::new(BlockNr::new(3), state, NodeId::new(0))
    }

    #[test]
    fn six_of_all_transitions_are_legal() {
        use BlockState::{GoingOffline, GoingOnline, Offline, Online};
        let mut legal = 0;
        for state in [Offline, GoingOnline, Online, GoingOffline] {
            for transition in Transition::ALL {
                let mut block = block(state);
                let result = block.apply(transition);
                assert_eq!(result.is_ok(), state == transition.from());
                assert_eq!(block.state, if result.is_ok() { transition.to() } else { state });
                legal += u32::from(result.is_ok());
            }
        }
        assert_eq!(legal, 6);
    }

    #[test]
    fn writing_the_state_that_is_there_is_an_error() {
        // A block that is online cannot come online again (T-25).
        let mut block = block(BlockState::Online);
        let error = block.apply(Transition::BeginOnline).unwrap_err();
        assert_eq!(error.to_string(), "memory block 3 is online and cannot become going online");
    }

    #[test]
    fn spans_end_with_the_numbers() {
        let top = BlockSpan::new(BlockNr::new(u64::MAX - 1), 7);
        assert_eq!(top.count(), 1);
        assert!(top.contains(BlockNr::new(u64::MAX - 1)) && !top.contains(BlockNr::new(0)));
        assert_eq!(top.iter().count(), 1);
    }
}
