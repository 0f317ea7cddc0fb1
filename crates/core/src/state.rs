//! What can be observed of one section: the flags of its word, and all of it as a value.
//!
//! # Invariants
//!
//! 1. The positions of the flags are those of Linux 5.12 and later, so that a recorded word can be compared bit for bit.
//! 2. Together they fill the lowest [`SECTION_FLAG_BITS`] bits and no other.

use crate::{NodeId, SubsectionBits};

/// Number of flag bits in a section word; an encoded memmap pointer leaves them free.
pub const SECTION_FLAG_BITS: u32 = 5;

bitflags::bitflags! {
    /// What is known of a section.
    ///
    /// Source: Linux `SECTION_*` bits of `section_mem_map`, 6.1 and 6.12.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SectionFlags: u8 {
        /// Memory was reported here at boot, or hot-added since.
        const PRESENT = 1 << 0;
        /// The rest of the word is a memmap pointer: lookups succeed.
        const HAS_MEM_MAP = 1 << 1;
        /// The section belongs to an online memory block; at boot this is set before there is a memmap.
        const ONLINE = 1 << 2;
        /// The memmap was made at boot and covers the section as a whole, holes included.
        const EARLY = 1 << 3;
        /// A device range shares the section with something else, so `ONLINE` alone does not tell RAM.
        const TAINT_ZONE_DEVICE = 1 << 4;
    }
}

const _: () = assert!(SectionFlags::all().bits() == (1 << SECTION_FLAG_BITS) - 1);

/// A copy of a section's observable state: equal on every model that went through the same operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionState {
    /// The flag bits of the section word.
    pub flags: SectionFlags,
    /// The node, known only from `memory_present` until the section has its memmap (W-32).
    pub early_node: Option<NodeId>,
    /// The populated subsections; empty while there is no usage.
    pub subsections: SubsectionBits,
    /// Those of them that are online.
    pub online: SubsectionBits,
}

impl SectionState {
    /// The state of a section of which nothing is known.
    pub const ABSENT: Self = Self {
        flags: SectionFlags::empty(),
        early_node: None,
        subsections: SubsectionBits::EMPTY,
        online: SubsectionBits::EMPTY,
    };
}
