//! One table entry as a tagged word.
//!
//! | state | PRESENT (0) | large-leaf bit (7) | address bits |
//! |---|---|---|---|
//! | absent | 0 | - | - |
//! | table of the level below | 1 | 0, levels 2 and up | 12..52 |
//! | leaf of 4 KiB | 1 | (PAT), level 1 | 12..52 |
//! | leaf of 2 MiB, 1 GiB | 1 | 1, levels 2 and 3 | 21..52, 30..52 |
//!
//! Bits 9 and 10 hold the frame's [`Tag`] and bit 58 says FRESH. The processor ignores all three.
//!
//! # Invariants
//!
//! 1. What this crate writes has ACCESSED, and for leaves DIRTY, set from the start: the processor has no reason to
//!    write to the entry, so this crate's stores lose no update.
//! 2. FRESH is set only in entries that the populate now running has made; it is gone when that call returns.

use x86_64::PhysAddr;
use x86_64::structures::paging::PageTableFlags;

use crate::{LeafSize, Level, Tag, TaggedFrame};

/// Where the tag's lower bit is.
const TAG_SHIFT: u32 = 9;
const TAG_MASK: u64 = (Tag::MAX as u64) << TAG_SHIFT;
/// The bits of an entry that hold the address of a 4 KiB frame.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const FRESH: u64 = PageTableFlags::BIT_58.bits();

const TABLE: PageTableFlags =
    PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE).union(PageTableFlags::ACCESSED);

/// Not GLOBAL: a kernel that keeps user and kernel translations apart could not drop it by changing the root, and a
/// memmap gains little from it.
const LEAF: PageTableFlags = TABLE.union(PageTableFlags::DIRTY).union(PageTableFlags::NO_EXECUTE);

const _: () = {
    assert!(PageTableFlags::BIT_9.bits() | PageTableFlags::BIT_10.bits() == TAG_MASK);
    assert!(ADDRESS & (TAG_MASK | FRESH | LEAF.bits() | PageTableFlags::HUGE_PAGE.bits()) == 0);
};

/// The value of one entry at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Entry(u64);

/// What an entry points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    Absent,
    /// A table of the level below.
    Table(TaggedFrame),
    /// Memory.
    Leaf(LeafSize, TaggedFrame),
}

impl Entry {
    pub(crate) const ABSENT: Self = Self(0);

    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    /// A fresh entry for a table.
    pub(crate) const fn table(frame: TaggedFrame) -> Self {
        Self::pack(frame, TABLE)
    }

    /// A fresh entry for a leaf.
    pub(crate) const fn leaf(frame: TaggedFrame, size: LeafSize) -> Self {
        match size {
            LeafSize::Size4KiB => Self::pack(frame, LEAF),
            _ => Self::pack(frame, LEAF.union(PageTableFlags::HUGE_PAGE)),
        }
    }

    const fn pack(frame: TaggedFrame, flags: PageTableFlags) -> Self {
        // The cast widens.
        let tag = (frame.tag.get() as u64) << TAG_SHIFT;
        Self((frame.start.as_u64() & ADDRESS) | tag | FRESH | flags.bits())
    }

    /// What this entry, found in a table of `level`, points to.
    pub(crate) const fn target(self, level: Level) -> Target {
        if self.0 & PageTableFlags::PRESENT.bits() == 0 {
            return Target::Absent;
        }
        let large = self.0 & PageTableFlags::HUGE_PAGE.bits() != 0;
        match level.leaf_size() {
            Some(size) if large || matches!(size, LeafSize::Size4KiB) => Target::Leaf(size, self.frame(size)),
            // Above the PUD the bit is reserved: a tree that holds it is not well formed (see `PageTable::new`).
            _ => Target::Table(self.frame(LeafSize::Size4KiB)),
        }
    }

    const fn frame(self, size: LeafSize) -> TaggedFrame {
        let start = PhysAddr::new_truncate(self.0 & ADDRESS & !(size.bytes() - 1));
        TaggedFrame { start, tag: Tag::from_low_bits(self.0 >> TAG_SHIFT) }
    }

    pub(crate) const fn is_fresh(self) -> bool {
        self.0 & FRESH != 0
    }

    /// The mask that keeps everything but FRESH.
    pub(crate) const fn settled_mask() -> u64 {
        !FRESH
    }

    /// The processor's flags of a leaf, without address and software bits.
    pub(crate) const fn flags(self) -> PageTableFlags {
        PageTableFlags::from_bits_truncate(self.0 & !(ADDRESS | TAG_MASK | FRESH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: TaggedFrame =
        TaggedFrame { start: PhysAddr::new_truncate(0x000f_ffff_c000_0000), tag: Tag::from_low_bits(2) };

    #[test]
    fn every_kind_comes_back() {
        for level in [Level::PTE, Level::PMD, Level::PUD] {
            let size = level.leaf_size().unwrap();
            assert_eq!(Entry::leaf(FRAME, size).target(level), Target::Leaf(size, FRAME));
        }
        for level in [Level::PMD, Level::PUD, Level::P4D, Level::PGD] {
            assert_eq!(Entry::table(FRAME).target(level), Target::Table(FRAME));
        }
        assert_eq!(Entry::ABSENT.target(Level::PMD), Target::Absent);
    }

    #[test]
    fn freshness_is_one_bit_and_no_flag() {
        let fresh = Entry::leaf(FRAME, LeafSize::Size2MiB);
        let settled = Entry::from_raw(fresh.raw() & Entry::settled_mask());
        assert!(fresh.is_fresh() && !settled.is_fresh());
        assert_eq!(fresh.flags(), settled.flags());
        assert_eq!(fresh.target(Level::PMD), settled.target(Level::PMD));
        assert_eq!(fresh.flags(), LEAF | PageTableFlags::HUGE_PAGE);
    }

    #[test]
    fn bits_below_a_large_frame_are_not_address() {
        let pat = Entry::from_raw(Entry::leaf(FRAME, LeafSize::Size2MiB).raw() | 1 << 12);
        assert_eq!(pat.target(Level::PMD), Target::Leaf(LeafSize::Size2MiB, FRAME));
    }
}
