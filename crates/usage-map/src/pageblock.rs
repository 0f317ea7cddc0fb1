//! Pageblock flags: the kind of pages that a block of frames holds, and whether it is isolated.
//!
//! | bit | meaning |
//! |---|---|
//! | 0-2 | [`MigrateType`] |
//! | 3 | compaction skips the block (kept, not used here) |
//! | 4 | isolated: nothing is allocated from the block |
//! | 5-7 | free |
//!
//! Source: the layout of Linux 6.17, where isolation stopped overwriting the migrate type.

use core::fmt;

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{BitWords, Geometry, MemoryModel, Pfn, Reclaim, SectionShape};

/// Bits of the migrate type.
const TYPE_MASK: u64 = 0b111;
/// The isolation bit.
const ISOLATED: u64 = 1 << 4;

/// The kind of allocations that a pageblock serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MigrateType {
    /// Pages that cannot move.
    Unmovable = 0,
    /// Pages whose content can move elsewhere.
    Movable = 1,
    /// Pages that can be dropped and made again.
    Reclaimable = 2,
    /// A reserve for urgent allocations.
    HighAtomic = 3,
    /// Contiguous memory lent to movable pages.
    Cma = 4,
}

impl MigrateType {
    const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Unmovable),
            1 => Some(Self::Movable),
            2 => Some(Self::Reclaimable),
            3 => Some(Self::HighAtomic),
            4 => Some(Self::Cma),
            _ => None,
        }
    }
}

/// The isolation of a pageblock: isolated blocks are closed to allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Pages may be allocated from the block.
    Open,
    /// Nothing is allocated from the block.
    Isolated,
}

/// The reason why a pageblock could not be read or written. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageblockError {
    /// The section has fewer blocks.
    #[error(
        "pageblock {block} does not exist, because a section has {blocks} pageblocks; use a lower number"
    )]
    OutOfRange {
        /// The requested block.
        block: u32,
        /// The number of blocks of a section.
        blocks: u32,
    },
    /// The bits of the block are not a migrate type.
    #[error(
        "pageblock {block} has the migrate type bits {bits:#b}, which stand for no type; set its type first"
    )]
    UnknownType {
        /// The requested block.
        block: u32,
        /// Its type bits.
        bits: u8,
    },
}

/// The flags of one pageblock, as a model lends them.
pub struct Pageblock<'g, G: Geometry> {
    pub(crate) flags: &'g Pageblocks<G>,
    pub(crate) block: u32,
}

impl<G: Geometry> Pageblock<'_, G> {
    /// The migrate type.
    ///
    /// # Errors
    ///
    /// [`PageblockError::UnknownType`] if the bits are no type.
    pub fn migrate_type(&self) -> Result<MigrateType, PageblockError> {
        self.flags.migrate_type(self.block)
    }

    /// Sets the migrate type; the isolation stays as it is.
    pub fn set_migrate_type(&self, to: MigrateType) {
        // The block is one of its section's, so it exists.
        let _ = self.flags.set_migrate_type(self.block, to);
    }

    /// The isolation of the block.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.flags.isolation(self.block).unwrap_or(Isolation::Open)
    }

    /// Isolates the block or ends its isolation, and returns its former isolation; the migrate type stays.
    #[must_use = "another call may have isolated the block before"]
    pub fn set_isolation(&self, to: Isolation) -> Isolation {
        self.flags.set_isolation(self.block, to).unwrap_or(Isolation::Open)
    }
}

impl<G: Geometry> fmt::Debug for Pageblock<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (migrate_type, isolation) = (self.migrate_type(), self.isolation());
        f.debug_struct("Pageblock").field("type", &migrate_type).field("isolation", &isolation).finish()
    }
}

/// Reaches the pageblock flags of frames through a model: the page allocator's, in which the model sees no meaning.
///
/// ```
/// use sparsemem_core::{MemoryModel, Pfn, Reclaim};
/// use sparsemem_usage_map::{Isolation, MigrateType, PageblockModel};
///
/// /// Lends the block of a frame to movable pages, if the frame has memory and nobody works on its block.
/// fn lend<M: PageblockModel>(model: &M, pfn: Pfn) -> bool {
///     let guard = M::Reclaim::enter();
///     let Some(block) = model.pageblock(pfn, &guard) else { return false };
///     let is_open = block.isolation() == Isolation::Open;
///     if is_open {
///         block.set_migrate_type(MigrateType::Movable);
///     }
///     is_open
/// }
/// ```
pub trait PageblockModel: MemoryModel {
    /// The flags of the pageblock of a frame; `None` if its section is absent. Flags of an absent part of a section that is
    /// present can be read and written, and mean nothing.
    ///
    /// Source: Linux `get_pfnblock_flags_mask`, which finds them through the section's usage.
    ///
    /// # Concurrency
    ///
    /// As [`MemoryModel::lookup_with`]. Each change is one atomic step; the kernel's own lock, Linux' of the zone, keeps others
    /// away who decide by the flags.
    ///
    /// # Cost
    ///
    /// Two loads: the section's word and the usage; one more for the root in a two-level table.
    fn pageblock<'g>(
        &'g self,
        pfn: Pfn,
        guard: &'g <Self::Reclaim as Reclaim>::Guard,
    ) -> Option<Pageblock<'g, Self::Geometry>>;
}

/// Eight bits per pageblock of a section.
#[repr(transparent)]
pub(crate) struct Pageblocks<G: Geometry> {
    words: G::PageblockFlags,
}

impl<G: Geometry> Pageblocks<G> {
    /// Flags of open, unmovable blocks.
    pub(crate) fn new() -> Self {
        Self { words: G::PageblockFlags::zeroed() }
    }

    /// The block of a frame in its section.
    pub(crate) fn index_of(pfn: Pfn) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the number of blocks of a section is a u32")]
        {
            (pfn.offset_in_section::<G>().get() >> G::PAGEBLOCK_ORDER) as u32
        }
    }

    pub(crate) fn migrate_type(&self, block: u32) -> Result<MigrateType, PageblockError> {
        let bits = self.load(block)? & TYPE_MASK;
        MigrateType::from_bits(bits).ok_or(PageblockError::UnknownType { block, bits: bits as u8 })
    }

    pub(crate) fn set_migrate_type(&self, block: u32, to: MigrateType) -> Result<(), PageblockError> {
        self.replace(block, TYPE_MASK, to as u64).map(|_| ())
    }

    pub(crate) fn isolation(&self, block: u32) -> Result<Isolation, PageblockError> {
        self.load(block).map(isolation_in)
    }

    pub(crate) fn set_isolation(&self, block: u32, to: Isolation) -> Result<Isolation, PageblockError> {
        let bits = if to == Isolation::Isolated { ISOLATED } else { 0 };
        self.replace(block, ISOLATED, bits).map(isolation_in)
    }

    /// The word of a block, and the position of the block's bits in it.
    fn locate(&self, block: u32) -> Result<(&AtomicU64, u32), PageblockError> {
        let blocks = G::PAGEBLOCKS_PER_SECTION;
        let bit = u64::from(block) * u64::from(G::PAGEBLOCK_BITS);
        let word = self.words.words().get((bit / 64) as usize).filter(|_| block < blocks);
        word.map(|word| (word, (bit % 64) as u32)).ok_or(PageblockError::OutOfRange { block, blocks })
    }

    /// The bits of a block, in the low byte.
    fn load(&self, block: u32) -> Result<u64, PageblockError> {
        let (word, shift) = self.locate(block)?;
        // Relaxed: the flags are a hint about the block, they publish nothing.
        Ok(word.load(Ordering::Relaxed) >> shift & 0xff)
    }

    /// Replaces the bits of `mask` in one atomic step and returns the block's bits as they were.
    fn replace(&self, block: u32, mask: u64, to: u64) -> Result<u64, PageblockError> {
        let (word, shift) = self.locate(block)?;
        // Relaxed: as in `load`; the step is atomic so that neighbours in the word are not lost.
        let change = |old: u64| Some(old & !(mask << shift) | (to & mask) << shift);
        let old = match word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change) {
            Ok(old) | Err(old) => old,
        };
        Ok(old >> shift & 0xff)
    }
}

/// The isolation in a block's bits.
const fn isolation_in(bits: u64) -> Isolation {
    if bits & ISOLATED == 0 { Isolation::Open } else { Isolation::Isolated }
}

impl<G: Geometry> fmt::Debug for Pageblocks<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pageblocks", G::PAGEBLOCKS_PER_SECTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem_core::presets::{Arm64Page64K, S390x, X86_64};

    #[test]
    fn isolation_keeps_the_type_and_the_neighbours() {
        let blocks = Pageblocks::<X86_64>::new();
        blocks.set_migrate_type(8, MigrateType::Cma).unwrap();
        blocks.set_migrate_type(9, MigrateType::Movable).unwrap();
        assert_eq!(blocks.set_isolation(9, Isolation::Isolated), Ok(Isolation::Open));
        assert_eq!(blocks.migrate_type(9), Ok(MigrateType::Movable));
        assert_eq!(blocks.isolation(9), Ok(Isolation::Isolated));
        assert_eq!(
            (blocks.migrate_type(8), blocks.isolation(8)),
            (Ok(MigrateType::Cma), Ok(Isolation::Open))
        );
        assert_eq!(blocks.set_isolation(9, Isolation::Open), Ok(Isolation::Isolated));
        assert_eq!(blocks.migrate_type(9), Ok(MigrateType::Movable));
    }

    #[test]
    fn every_type_replaces_every_other() {
        use MigrateType::{Cma, HighAtomic, Movable, Reclaimable, Unmovable};
        let blocks = Pageblocks::<X86_64>::new();
        // A block in the middle of a word, between isolated ones: no bit of another block may change.
        for block in [2, 4] {
            blocks.set_isolation(block, Isolation::Isolated).unwrap();
        }
        for from in [Unmovable, Movable, Reclaimable, HighAtomic, Cma] {
            for to in [Unmovable, Movable, Reclaimable, HighAtomic, Cma] {
                blocks.set_migrate_type(3, from).unwrap();
                blocks.set_migrate_type(3, to).unwrap();
                assert_eq!((blocks.migrate_type(3), blocks.isolation(3)), (Ok(to), Ok(Isolation::Open)));
            }
        }
        for block in [2, 4] {
            let bits = (blocks.migrate_type(block), blocks.isolation(block));
            assert_eq!(bits, (Ok(Unmovable), Ok(Isolation::Isolated)));
        }
    }

    #[test]
    fn blocks_beyond_the_section_are_errors() {
        let one = Pageblocks::<Arm64Page64K>::new();
        assert!(one.migrate_type(0).is_ok());
        assert_eq!(one.migrate_type(1), Err(PageblockError::OutOfRange { block: 1, blocks: 1 }));
        let many = Pageblocks::<S390x>::new();
        assert!(many.set_migrate_type(255, MigrateType::Movable).is_ok());
        assert!(many.set_migrate_type(256, MigrateType::Movable).is_err());
        assert!(many.isolation(u32::MAX).is_err());
    }

    #[test]
    fn bits_that_are_no_type_are_an_error() {
        let blocks = Pageblocks::<X86_64>::new();
        blocks.replace(3, TYPE_MASK, 7).unwrap();
        assert_eq!(blocks.migrate_type(3), Err(PageblockError::UnknownType { block: 3, bits: 7 }));
    }

    #[test]
    fn frames_find_their_block() {
        assert_eq!(Pageblocks::<X86_64>::index_of(Pfn::new(0x8000 + 0x3ff)), 1);
        assert_eq!(Pageblocks::<X86_64>::index_of(Pfn::new(0xffff)), 63);
    }
}
