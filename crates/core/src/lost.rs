//! Metadata blocks that an environment refused to take back: every operation that gives blocks back counts them here.

use core::fmt;

use crate::ForeignBlock;

/// Blocks that an environment refused to take back. Their memory is lost, and the caller should report that.
///
/// Every operation that gives metadata back ends with one of these, in its result or in its error, so that no loss is
/// silent. A block is refused by an environment that did not give it: the usual cause is that memory is removed with
/// another environment, or another altmap, than it was added with.
///
/// ```
/// use sparsemem_core::LostBlocks;
///
/// let none = LostBlocks::default();
/// assert!(none.is_empty());
/// assert_eq!(none.to_string(), "", "nothing was lost, so the text is empty");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that the caller should report"]
pub struct LostBlocks {
    count: u64,
    first: Option<ForeignBlock>,
}

impl LostBlocks {
    /// The number of refused blocks.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The first refused block.
    #[must_use]
    pub const fn first(&self) -> Option<ForeignBlock> {
        self.first
    }

    /// Whether no block was refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts a block.
    pub fn note(&mut self, block: ForeignBlock) {
        self.count += 1;
        self.first.get_or_insert(block);
    }

    /// Counts the blocks of another operation.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.or(other.first);
    }
}

/// Empty if no block was lost; otherwise the end of a sentence about the operation.
impl fmt::Display for LostBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.first else { return Ok(()) };
        let Self { count, .. } = self;
        write!(f, "; {count} metadata blocks were refused and are lost, the first because {first}; ")?;
        f.write_str("give memory back through the environment that allocated it")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::Origin;

    #[test]
    fn the_first_of_all_is_kept() {
        let block = |address| ForeignBlock { address, size: 64, origin: Origin::Runtime };
        let (mut all, mut later) = (LostBlocks::default(), LostBlocks::default());
        all.add(later);
        assert!(all.is_empty() && all.first().is_none());
        later.note(block(0x2000));
        later.note(block(0x3000));
        all.add(later);
        all.note(block(0x1000));
        assert_eq!((all.count(), all.first()), (3, Some(block(0x2000))));
        assert!(!all.is_empty());
        assert!(all.to_string().starts_with("; 3 metadata blocks"), "{all}");
    }
}
