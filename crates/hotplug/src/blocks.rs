//! All memory blocks of a machine.
//!
//! # Invariants
//!
//! 1. Blocks are sorted by number, and each number occurs once.
//! 2. A block is in transition ([`BlockState::GoingOnline`], [`BlockState::GoingOffline`]) only while a [`Going`]
//!    lives.

use core::cell::Cell;
use core::iter::once;

use sparsemem_core::{NodeId, PageCount, Pfn, PfnRange};

use crate::nodes::Nodes;
use crate::slots::{Change, Slots};
use crate::{BlockNr, BlockSpan, BlockState, Full, IllegalTransition, MemoryBlock, Transition};

/// The reason why memory blocks cannot be made, switched or removed. No block has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A block exists already.
    #[error("memory block {block} exists already and is {state}")]
    Exists {
        /// The block.
        block: BlockNr,
        /// Its state.
        state: BlockState,
    },
    /// A block does not exist.
    #[error("memory block {block} does not exist; add its memory first")]
    Missing {
        /// The block.
        block: BlockNr,
    },
    /// A block is in another state.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// A block that is to be removed is not offline.
    #[error("memory block {block} is {state}; switch it offline before removing it")]
    NotOffline {
        /// The block.
        block: BlockNr,
        /// Its state.
        state: BlockState,
    },
    /// Several nodes have memory in a block, so it cannot go offline.
    #[error("memory block {block} has memory of several nodes and cannot change its state")]
    SeveralNodes {
        /// The block.
        block: BlockNr,
    },
    /// A block has memory of more nodes than its record has room for.
    #[error(
        "memory block {block} has memory of more than {} nodes, node {node} is one too many; choose smaller memory \
         blocks",
        Nodes::MOST
    )]
    TooManyNodes {
        /// The block.
        block: BlockNr,
        /// The node that there is no room for.
        node: NodeId,
    },
    /// A block that memory is to be added to, or taken from, in parts is not online.
    #[error("memory block {block} is {state}; bring it online before its memory changes in parts")]
    NotOnline {
        /// The block.
        block: BlockNr,
        /// Its state.
        state: BlockState,
    },
    /// Memory of one node was to be added to a block that belongs to another.
    #[error(
        "memory block {block} is of node {other} and takes no memory of node {node}: a block of several nodes could \
         not go offline"
    )]
    OtherNode {
        /// The block.
        block: BlockNr,
        /// The node of the new memory.
        node: NodeId,
        /// The node of the block.
        other: NodeId,
    },
    /// The blocks of a range belong to different nodes.
    #[error("memory block {block} is of node {other}, the first is of node {node}; switch them separately")]
    NodesDiffer {
        /// The first block of the other node.
        block: BlockNr,
        /// The node of the first block.
        node: NodeId,
        /// The other node.
        other: NodeId,
    },
    /// The table has no room for more blocks.
    #[error("no room for memory blocks: {0}")]
    Full(#[from] Full),
    /// A block that hosts its own memmap was to be removed together with others.
    #[error("memory block {block} hosts its own memmap in {memmap}; remove it alone, through its altmap")]
    Host {
        /// Frames that its memmap takes.
        block: BlockNr,
        /// Frames of its memmap.
        memmap: PageCount,
    },
}

/// The direction in which memory is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The allocator gets the frames.
    Online,
    /// The allocator loses the frames.
    Offline,
}

impl Direction {
    /// The opposite direction.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::Online => Self::Offline,
            Self::Offline => Self::Online,
        }
    }

    const fn begin(self) -> Transition {
        match self {
            Self::Online => Transition::BeginOnline,
            Self::Offline => Transition::BeginOffline,
        }
    }

    const fn finish(self) -> Transition {
        match self {
            Self::Online => Transition::FinishOnline,
            Self::Offline => Transition::FinishOffline,
        }
    }

    const fn cancel(self) -> Transition {
        match self {
            Self::Online => Transition::CancelOnline,
            Self::Offline => Transition::CancelOffline,
        }
    }
}

/// The memory blocks, in slots that the caller supplies.
#[derive(Debug)]
pub struct Blocks<'a> {
    slots: Slots<'a, MemoryBlock>,
}

impl<'a> Blocks<'a> {
    /// A table without blocks; `slots` needs one slot for each block that exists at the same time.
    pub fn new(slots: &'a mut [Option<MemoryBlock>]) -> Self {
        Self { slots: Slots::new(slots) }
    }

    /// The blocks, lowest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &MemoryBlock> + Clone {
        self.slots.iter()
    }

    /// A block by its number.
    #[must_use]
    pub fn get(&self, nr: BlockNr) -> Option<&MemoryBlock> {
        self.slots.get(self.place(nr)).filter(|block| block.nr == nr)
    }

    /// True if a node has memory in online blocks outside `except`, alone or with other nodes.
    #[must_use]
    pub fn node_is_online(&self, node: NodeId, except: BlockSpan) -> bool {
        let of_node = |block: &&MemoryBlock| block.has_memory_of(node) && !except.contains(block.nr);
        self.iter().filter(of_node).any(|block| block.state == BlockState::Online)
    }

    /// Registers memory of boot: its blocks are online. A block in which several nodes have memory belongs to no
    /// single node.
    ///
    /// Source: Linux `memory_dev_init`, `early_node_zone_for_memory_block` (H-32).
    ///
    /// # Errors
    ///
    /// [`BlockError::Full`], [`BlockError::TooManyNodes`]; nothing has changed then.
    pub fn adopt(&mut self, span: BlockSpan, node: NodeId) -> Result<(), BlockError> {
        let mut missing = len(span);
        for block in self.iter().filter(|block| span.contains(block.nr)) {
            joined(block, node)?;
            missing = missing.saturating_sub(1);
        }
        let (taken, _) = self.slots.usage();
        // This only checks that there is room.
        let _room = self.slots.change(taken, 0, missing)?;
        span.iter().try_for_each(|nr| self.adopt_one(nr, node))
    }

    fn adopt_one(&mut self, nr: BlockNr, node: NodeId) -> Result<(), BlockError> {
        let at = self.place(nr);
        if let Some(block) = self.get(nr) {
            let joined = joined(block, node)?;
            self.slots.replace(at, joined);
            return Ok(());
        }
        self.slots.change(at, 0, 1)?.commit([MemoryBlock::new(nr, BlockState::Online, node)]);
        Ok(())
    }

    /// Prepares to make blocks. They will be offline.
    ///
    /// # Errors
    ///
    /// [`BlockError::Exists`] with the first block that exists already, [`BlockError::Full`].
    pub(crate) fn vacancy(&mut self, span: BlockSpan, node: NodeId) -> Result<NewBlocks<'_>, BlockError> {
        if let Some(MemoryBlock { nr: block, state, .. }) = self.iter().find(|it| span.contains(it.nr)) {
            return Err(BlockError::Exists { block: *block, state: *state });
        }
        let change = self.slots.change(self.place(span.first()), 0, len(span))?;
        Ok(NewBlocks { change, span, node, memmap: PageCount::new(0) })
    }

    /// Prepares to remove blocks that are offline from the table.
    ///
    /// # Errors
    ///
    /// [`BlockError::Missing`], [`BlockError::NotOffline`], [`BlockError::Host`]. Source: Linux `try_remove_memory`
    /// (H-20, A-26).
    pub(crate) fn removal(&mut self, span: BlockSpan) -> Result<OldBlocks<'_>, BlockError> {
        for nr in span.iter() {
            let MemoryBlock { state, memmap, .. } = self.get(nr).ok_or(BlockError::Missing { block: nr })?;
            if *state != BlockState::Offline {
                return Err(BlockError::NotOffline { block: nr, state: *state });
            }
            if memmap.get() > 0 && span.count() > 1 {
                return Err(BlockError::Host { block: nr, memmap: *memmap });
            }
        }
        let change = self.slots.change(self.place(span.first()), len(span), 0)?;
        Ok(OldBlocks { change })
    }

    /// Begins to switch blocks in a direction.
    ///
    /// # Errors
    ///
    /// [`BlockError::Missing`], [`BlockError::Illegal`], [`BlockError::SeveralNodes`], [`BlockError::NodesDiffer`].
    pub(crate) fn begin(&mut self, span: BlockSpan, direction: Direction) -> Result<Going<'_>, BlockError> {
        self.check_begin(span, direction)?;
        let missing = BlockError::Missing { block: span.first() };
        let blocks = self.slots.run_mut(self.place(span.first()), len(span)).ok_or(missing)?;
        for block in blocks.iter_mut().flatten() {
            block.apply(direction.begin())?;
        }
        Ok(Going { blocks, direction, next: Cell::new(direction.cancel()) })
    }

    /// The node of blocks that can all be switched in a direction.
    ///
    /// # Errors
    ///
    /// As [`Blocks::begin`].
    pub(crate) fn check_begin(&self, span: BlockSpan, direction: Direction) -> Result<NodeId, BlockError> {
        let mut first = None;
        for nr in span.iter() {
            let mut block = *self.get(nr).ok_or(BlockError::Missing { block: nr })?;
            block.apply(direction.begin())?;
            let other = block.node.ok_or(BlockError::SeveralNodes { block: nr })?;
            let node = *first.get_or_insert(other);
            if node != other {
                return Err(BlockError::NodesDiffer { block: nr, node, other });
            }
        }
        first.ok_or(BlockError::Missing { block: span.first() })
    }

    /// The index of a block in the table, or the index at which it would be inserted.
    fn place(&self, nr: BlockNr) -> usize {
        self.slots.place(|block| block.nr < nr)
    }
}

/// The same block with memory of another node.
fn joined(block: &MemoryBlock, node: NodeId) -> Result<MemoryBlock, BlockError> {
    block.joined_by(node).ok_or(BlockError::TooManyNodes { block: block.nr, node })
}

/// The number of blocks as a length. A number that no slice can have is reported as full.
fn len(span: BlockSpan) -> usize {
    usize::try_from(span.count()).unwrap_or(usize::MAX)
}

/// Blocks that are about to be made.
#[must_use = "nothing changes before the commit"]
pub(crate) struct NewBlocks<'s> {
    change: Change<'s, MemoryBlock>,
    span: BlockSpan,
    node: NodeId,
    memmap: PageCount,
}

impl NewBlocks<'_> {
    /// The same blocks, each with `memmap` frames at its start for its own memmap.
    pub(crate) const fn hosting(mut self, memmap: PageCount) -> Self {
        self.memmap = memmap;
        self
    }

    /// Makes the blocks, offline.
    pub(crate) fn commit(self) {
        let (state, node, memmap) = (BlockState::Offline, self.node, self.memmap);
        let block = |nr| MemoryBlock { memmap, ..MemoryBlock::new(nr, state, node) };
        self.change.commit(self.span.iter().map(block));
    }
}

/// Blocks that are about to be removed from the table.
#[must_use = "nothing changes before the commit"]
pub(crate) struct OldBlocks<'s> {
    change: Change<'s, MemoryBlock>,
}

impl OldBlocks<'_> {
    /// Removes the blocks.
    pub(crate) fn commit(self) {
        self.change.commit([]);
    }
}

/// Blocks in transition. Dropping this puts them into the state that `next` leads to: back to the old state, unless
/// [`Going::arrived`] was called.
#[must_use = "dropping it returns the blocks to their old state"]
pub(crate) struct Going<'s> {
    blocks: &'s mut [Option<MemoryBlock>],
    direction: Direction,
    /// The transition that is made when this is dropped.
    next: Cell<Transition>,
}

impl Going<'_> {
    /// The runs of `frames` that an allocator gets: all frames of the blocks, except those that hold the memmap of a
    /// block. `frames` must be the frames of the blocks.
    ///
    /// Source: Linux `memory_block_online`.
    pub(crate) fn usable(
        &self,
        frames: PfnRange,
        block: PageCount,
    ) -> impl Iterator<Item = PfnRange> + Clone + use<'_> {
        let hosts = self.blocks.iter().flatten().filter(|it| it.memmap.get() > 0);
        let heads = hosts.map(move |it| {
            let start = it.nr.get().saturating_mul(block.get());
            (Pfn::new(start), Pfn::new(start.saturating_add(it.memmap.get())))
        });
        let starts = once(frames.start()).chain(heads.clone().map(|(_, end)| end));
        let ends = heads.map(|(start, _)| start).chain(once(frames.end()));
        starts
            .zip(ends)
            .filter_map(|(start, end)| PfnRange::new(start, end).ok())
            .filter(|run| !run.is_empty())
    }

    /// Makes the switch final: dropping this puts the blocks into their new state.
    pub(crate) fn arrived(&self) {
        self.next.set(self.direction.finish());
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let next = self.next.get();
        for block in self.blocks.iter_mut().flatten() {
            // `begin` put each block into this transition, and `self` has had exclusive access since then.
            debug_assert!(block.state == next.from(), "block {} is not in transition", block.nr);
            block.state = next.to();
        }
    }
}

mod parts;
#[cfg(test)]
mod tests;
