//! Metadata that could not be given back: one count for every operation that gives back.

use core::fmt;

use crate::ForeignBlock;

/// Blocks that an environment would not take back. Their memory is lost, and somebody should hear of it.
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
/// assert_eq!(none.to_string(), "", "nothing was lost, so there is nothing to say");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that somebody should hear of"]
pub struct LostBlocks {
    count: u64,
    first: Option<ForeignBlock>,
}

impl LostBlocks {
    /// How many blocks were refused.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    #[must_use]
    pub const fn first(&self) -> Option<ForeignBlock> {
        self.first
    }

    /// Whether everything went back.
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

/// Nothing if no block was lost; otherwise the end of a sentence about something else.
impl fmt::Display for LostBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.first else { return Ok(()) };
        let Self { count, .. } = self;
        write!(f, "; {count} metadata blocks were not taken back and are lost, the first because {first}; ")?;
        f.write_str("give memory back through the environment that it was taken from")
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
