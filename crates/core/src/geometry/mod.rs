//! The shape of an architecture's physical memory: page, subsection and section size, and the highest address.
//!
//! # Invariants
//!
//! 1. A [`Geometry`] states only numbers that cannot be derived; all others are in [`SectionShape`], which cannot be
//!    overridden.
//! 2. All code that uses a geometry evaluates [`SectionShape::CHECK`] first, so one that is not valid does not compile.

#[cfg(doctest)]
mod impossible;
pub mod presets;

use crate::primitive::AtomicU64;

/// Page, subsection and section sizes of an architecture, and how much physical memory it can have.
///
/// The trait is open: a kernel with another layout declares its own. Sizes are given as powers of two, in bits.
/// Source: Linux `SECTION_SIZE_BITS` and `MAX_PHYSMEM_BITS` per architecture, `SUBSECTION_SHIFT` since 5.3.
///
/// ```
/// use core::sync::atomic::AtomicU64;
/// use sparsemem_core::{Geometry, SectionShape};
///
/// /// A board with 64 MiB sections.
/// #[derive(Clone, Copy)]
/// struct Board;
///
/// impl Geometry for Board {
///     const NAME: &'static str = "board";
///     const PAGE_SHIFT: u32 = 12;
///     const SECTION_SIZE_BITS: u32 = 26;
///     const MAX_PHYSMEM_BITS: u32 = 36;
///     const PAGEBLOCK_ORDER: u32 = 9;
///     type SubsectionMap = [AtomicU64; 1]; // 32 subsections of 2 MiB
///     type PageblockFlags = [AtomicU64; 4]; // 32 pageblocks of 8 bits
/// }
///
/// const _: () = Board::CHECK;
/// assert_eq!(Board::NR_SECTIONS, 1024);
/// assert_eq!(Board::SUBSECTIONS_PER_SECTION, 32);
/// ```
///
/// A geometry whose subsections are larger than its sections does not compile:
///
/// ```compile_fail
/// # use core::sync::atomic::AtomicU64;
/// # use sparsemem_core::{Geometry, SectionShape};
/// #[derive(Clone, Copy)]
/// struct Impossible;
///
/// impl Geometry for Impossible {
///     const NAME: &'static str = "impossible";
///     const PAGE_SHIFT: u32 = 12;
///     const SECTION_SIZE_BITS: u32 = 20;
///     const MAX_PHYSMEM_BITS: u32 = 36;
///     const SUBSECTION_SHIFT: u32 = 21;
///     const PAGEBLOCK_ORDER: u32 = 8;
///     type SubsectionMap = [AtomicU64; 1];
///     type PageblockFlags = [AtomicU64; 1];
/// }
///
/// const _: () = Impossible::CHECK;
/// ```
pub trait Geometry: Copy + Send + Sync + 'static {
    /// The name that tools print and accept.
    const NAME: &'static str;
    /// Bits of a page offset: 12 for 4 KiB pages.
    const PAGE_SHIFT: u32;
    /// Bits of a section's size in bytes.
    const SECTION_SIZE_BITS: u32;
    /// Bits of a physical address.
    const MAX_PHYSMEM_BITS: u32;
    /// Bits of a subsection's size in bytes; 2 MiB on every architecture of Linux.
    const SUBSECTION_SHIFT: u32 = 21;
    /// Bits of a pageblock's size in frames; a pageblock must not be larger than a section.
    const PAGEBLOCK_ORDER: u32;
    /// `[AtomicU64; N]` with a bit per subsection.
    type SubsectionMap: BitWords;
    /// `[AtomicU64; N]` with [`SectionShape::PAGEBLOCK_BITS`] bits per pageblock.
    type PageblockFlags: BitWords;
}

/// All numbers that follow from a [`Geometry`].
///
/// Implemented for every geometry and for nothing else, so that the numbers cannot be given inconsistently.
pub trait SectionShape: Geometry {
    /// Bytes of a page.
    const PAGE_SIZE: u64 = 1 << Self::PAGE_SHIFT;
    /// Bytes of a section.
    const SECTION_SIZE: u64 = 1 << Self::SECTION_SIZE_BITS;
    /// Bits of a frame's offset in its section.
    const PFN_SECTION_SHIFT: u32 = Self::SECTION_SIZE_BITS - Self::PAGE_SHIFT;
    /// Frames of a section.
    const PAGES_PER_SECTION: u64 = 1 << Self::PFN_SECTION_SHIFT;
    /// Number of possible sections.
    const NR_SECTIONS: u64 = 1 << (Self::MAX_PHYSMEM_BITS - Self::SECTION_SIZE_BITS);
    /// One more than the highest frame number.
    const MAX_PFN: u64 = 1 << (Self::MAX_PHYSMEM_BITS - Self::PAGE_SHIFT);
    /// Bits of a frame's offset in its subsection.
    const PFN_SUBSECTION_SHIFT: u32 = Self::SUBSECTION_SHIFT - Self::PAGE_SHIFT;
    /// Frames of a subsection.
    const PAGES_PER_SUBSECTION: u64 = 1 << Self::PFN_SUBSECTION_SHIFT;
    /// Subsections of a section.
    const SUBSECTIONS_PER_SECTION: u32 = 1 << (Self::SECTION_SIZE_BITS - Self::SUBSECTION_SHIFT);
    /// Frames of a pageblock.
    const PAGES_PER_PAGEBLOCK: u64 = 1 << Self::PAGEBLOCK_ORDER;
    /// Pageblocks of a section.
    const PAGEBLOCKS_PER_SECTION: u32 = 1 << (Self::PFN_SECTION_SHIFT - Self::PAGEBLOCK_ORDER);
    /// Flag bits kept per pageblock: three of migrate type, skip, isolate, rounded up so that no block straddles a
    /// word (Linux since 6.17).
    const PAGEBLOCK_BITS: u32 = 8;
    /// Section entries in a root of the two-level table: as many 16-byte entries as a page holds.
    const SECTIONS_PER_ROOT: u64 = Self::PAGE_SIZE / 16;
    /// Roots that the two-level table has room for.
    const NR_ROOTS: u64 = Self::NR_SECTIONS.div_ceil(Self::SECTIONS_PER_ROOT);
    /// [`SectionShape::NR_SECTIONS`] as an array length.
    const NR_SECTIONS_LEN: usize = array_len(Self::NR_SECTIONS);
    /// [`SectionShape::NR_ROOTS`] as an array length.
    const NR_ROOTS_LEN: usize = array_len(Self::NR_ROOTS);

    /// Does not compile for a geometry that is not valid.
    const CHECK: () = {
        assert!(Self::PAGE_SHIFT >= 6, "a page must hold several section entries");
        assert!(Self::SUBSECTION_SHIFT >= Self::PAGE_SHIFT, "a subsection must hold at least one page");
        assert!(Self::SECTION_SIZE_BITS >= Self::SUBSECTION_SHIFT, "a subsection must fit its section");
        assert!(
            Self::SECTION_SIZE_BITS - Self::SUBSECTION_SHIFT <= 9,
            "a section has at most 512 subsections"
        );
        assert!(
            Self::MAX_PHYSMEM_BITS > Self::SECTION_SIZE_BITS,
            "physical memory must have at least two sections"
        );
        assert!(Self::NR_SECTIONS <= 1 << 32, "a section number must fit 32 bits of a descriptor");
        assert!(
            Self::MAX_PHYSMEM_BITS <= 60,
            "physical addresses end below 2^60, so that sums of them fit a word"
        );
        assert!(Self::PAGEBLOCK_ORDER <= Self::PFN_SECTION_SHIFT, "a pageblock must fit its section");
        assert!(
            Self::SubsectionMap::LEN == words_for(Self::SUBSECTIONS_PER_SECTION),
            "SubsectionMap must have a bit per subsection, in 64-bit words"
        );
        assert!(
            Self::PageblockFlags::LEN == words_for(Self::PAGEBLOCKS_PER_SECTION * Self::PAGEBLOCK_BITS),
            "PageblockFlags must have eight bits per pageblock, in 64-bit words"
        );
    };
}

impl<G: Geometry> SectionShape for G {}

/// 64-bit words that hold `bits` bits.
const fn words_for(bits: u32) -> usize {
    bits.div_ceil(u64::BITS) as usize
}

/// A count as an array length; a target whose `usize` cannot hold it does not compile.
const fn array_len(count: u64) -> usize {
    assert!(count <= usize::MAX as u64, "the table does not fit the address space of this target");
    #[expect(clippy::cast_possible_truncation, reason = "compared with usize::MAX one line above")]
    {
        count as usize
    }
}

/// `[AtomicU64; N]`: the storage of a bitmap whose size a [`Geometry`](crate::Geometry) fixes.
///
/// Sealed: lookups rely on the words that they read from it, so no other crate may implement it.
pub trait BitWords: sealed::Sealed + Send + Sync + 'static {
    /// Number of 64-bit words.
    const LEN: usize;

    /// An array of zero words, as a constant.
    #[cfg(not(sparsemem_loom))]
    const ZERO: Self;

    /// An array of zero words.
    fn zeroed() -> Self;

    /// The words, lowest bits first.
    fn words(&self) -> &[AtomicU64];
}

mod sealed {
    /// Keeps [`BitWords`](super::BitWords) to arrays.
    pub trait Sealed {}

    impl<const N: usize> Sealed for [crate::primitive::AtomicU64; N] {}
}

impl<const N: usize> BitWords for [AtomicU64; N] {
    const LEN: usize = N;
    #[cfg(not(sparsemem_loom))]
    const ZERO: Self = [const { AtomicU64::new(0) }; N];

    fn zeroed() -> Self {
        core::array::from_fn(|_| AtomicU64::new(0))
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        self
    }
}
