//! The state flags in the low bits of a section word.
//!
//! # Invariants
//!
//! 1. The positions are those of Linux 5.12 and later, so that a recorded word can be compared bit for bit.
//! 2. Together they fill the lowest [`SECTION_FLAG_BITS`] bits and no other.

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
