//! Blocks of which the memory is added and removed in parts: a block exists while any of its memory does.

use sparsemem_core::NodeId;

use super::{BlockError, Blocks, len};
use crate::slots::Change;
use crate::{BlockNr, BlockSpan, BlockState, MemoryBlock};

impl Blocks<'_> {
    /// Prepares to add memory of a node to blocks. Those that do not exist yet are made, online.
    ///
    /// # Errors
    ///
    /// [`BlockError::NotOnline`], [`BlockError::SeveralNodes`], [`BlockError::OtherNode`], [`BlockError::Host`],
    /// [`BlockError::Full`].
    pub(crate) fn joining(&mut self, span: BlockSpan, node: NodeId) -> Result<JoinedBlocks<'_>, BlockError> {
        let mut there = 0;
        for block in self.iter().filter(|block| span.contains(block.nr)) {
            let other = node_of_part(block)?;
            if other != node {
                return Err(BlockError::OtherNode { block: block.nr, node, other });
            }
            there += 1;
        }
        let change = self.slots.change(self.place(span.first()), there, len(span))?;
        Ok(JoinedBlocks { change, span, node })
    }

    /// Prepares to take memory from blocks. Those for which `stays` does not hold are removed. Returns their node, too.
    ///
    /// # Errors
    ///
    /// [`BlockError::Missing`], [`BlockError::NotOnline`], [`BlockError::SeveralNodes`], [`BlockError::NodesDiffer`],
    /// [`BlockError::Host`].
    pub(crate) fn leaving(
        &mut self,
        span: BlockSpan,
        stays: impl Fn(BlockNr) -> bool,
    ) -> Result<(LeftBlocks<'_>, NodeId), BlockError> {
        let mut first = None;
        // Only the blocks at the two ends can have memory outside the range.
        let mut kept = [None; 2];
        for nr in span.iter() {
            let block = *self.get(nr).ok_or(BlockError::Missing { block: nr })?;
            let other = node_of_part(&block)?;
            let node = *first.get_or_insert(other);
            if node != other {
                return Err(BlockError::NodesDiffer { block: nr, node, other });
            }
            if stays(nr) {
                let [start, end] = &mut kept;
                *if start.is_none() { start } else { end } = Some(block);
            }
        }
        let node = first.ok_or(BlockError::Missing { block: span.first() })?;
        let change = self.slots.change(self.place(span.first()), len(span), kept.iter().flatten().count())?;
        Ok((LeftBlocks { change, kept }, node))
    }
}

/// The node of a block whose memory may change in parts.
fn node_of_part(block: &MemoryBlock) -> Result<NodeId, BlockError> {
    let MemoryBlock { nr, state, node, memmap, .. } = *block;
    if state != BlockState::Online {
        return Err(BlockError::NotOnline { block: nr, state });
    }
    if memmap.get() > 0 {
        return Err(BlockError::Host { block: nr, memmap });
    }
    node.ok_or(BlockError::SeveralNodes { block: nr })
}

/// Blocks that are about to get memory.
#[must_use = "nothing changes before the commit"]
pub(crate) struct JoinedBlocks<'s> {
    change: Change<'s, MemoryBlock>,
    span: BlockSpan,
    node: NodeId,
}

impl JoinedBlocks<'_> {
    /// Makes those that do not exist.
    pub(crate) fn commit(self) {
        // Those that exist are like this, too: online, of this node alone, and without a memmap of their own.
        let block = |nr| MemoryBlock::new(nr, BlockState::Online, self.node);
        self.change.commit(self.span.iter().map(block));
    }
}

/// Blocks that are about to lose memory.
#[must_use = "nothing changes before the commit"]
pub(crate) struct LeftBlocks<'s> {
    change: Change<'s, MemoryBlock>,
    kept: [Option<MemoryBlock>; 2],
}

impl LeftBlocks<'_> {
    /// True if a block stays.
    pub(crate) fn any_stays(&self) -> bool {
        self.kept.iter().any(Option::is_some)
    }

    /// Removes those that have no memory left.
    pub(crate) fn commit(self) {
        self.change.commit(self.kept.into_iter().flatten());
    }
}
