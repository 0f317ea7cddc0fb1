//! The raw numbers of a geometry, and the numbers that follow from them, computed independently of the core crate.
//!
//! # Invariants
//!
//! 1. This module does not use the derived constants of the core crate, so that a mistake in them is found.

use sparsemem_core::Geometry;

/// The numbers that a geometry states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Name of the geometry.
    pub name: &'static str,
    /// Bits of a page offset.
    pub page_bits: u32,
    /// Bits of a subsection's size in bytes.
    pub subsection_bits: u32,
    /// Bits of a section's size in bytes.
    pub section_bits: u32,
    /// Bits of a physical address.
    pub physical_bits: u32,
    /// Bits of a pageblock's size in frames.
    pub pageblock_order: u32,
}

impl Shape {
    /// The numbers of `G`.
    #[must_use]
    pub const fn of<G: Geometry>() -> Self {
        Self {
            name: G::NAME,
            page_bits: G::PAGE_SHIFT,
            subsection_bits: G::SUBSECTION_SHIFT,
            section_bits: G::SECTION_SIZE_BITS,
            physical_bits: G::MAX_PHYSMEM_BITS,
            pageblock_order: G::PAGEBLOCK_ORDER,
        }
    }

    /// Bytes of a page.
    #[must_use]
    pub const fn page_bytes(&self) -> u64 {
        1 << self.page_bits
    }

    /// Bytes of a section.
    #[must_use]
    pub const fn section_bytes(&self) -> u64 {
        1 << self.section_bits
    }

    /// Frames of a section.
    #[must_use]
    pub const fn section_frames(&self) -> u64 {
        1 << (self.section_bits - self.page_bits)
    }

    /// Frames of a subsection.
    #[must_use]
    pub const fn subsection_frames(&self) -> u64 {
        1 << (self.subsection_bits - self.page_bits)
    }

    /// Subsections of a section.
    #[must_use]
    pub const fn subsections(&self) -> u64 {
        1 << (self.section_bits - self.subsection_bits)
    }

    /// Possible sections.
    #[must_use]
    pub const fn sections(&self) -> u64 {
        1 << (self.physical_bits - self.section_bits)
    }

    /// One more than the highest frame.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        1 << (self.physical_bits - self.page_bits)
    }

    /// Sections of a root: as many entries of two words as a page holds.
    #[must_use]
    pub const fn sections_per_root(&self) -> u64 {
        self.page_bytes() / 16
    }

    /// Possible roots.
    #[must_use]
    pub const fn roots(&self) -> u64 {
        self.sections().div_ceil(self.sections_per_root())
    }

    /// The section of a frame.
    #[must_use]
    pub const fn section_of(&self, frame: u64) -> u64 {
        frame / self.section_frames()
    }

    /// The subsection of a frame in its section.
    #[must_use]
    pub const fn subsection_of(&self, frame: u64) -> u64 {
        frame % self.section_frames() / self.subsection_frames()
    }

    /// First frame of a section.
    #[must_use]
    pub const fn first_frame(&self, section: u64) -> u64 {
        section * self.section_frames()
    }

    /// Bytes that the maps of a section's usage need at least: a bit per subsection and four per pageblock.
    #[must_use]
    pub const fn least_usage_bytes(&self) -> u64 {
        let pageblocks = self.section_frames() >> self.pageblock_order;
        self.subsections().div_ceil(8) + pageblocks.div_ceil(2)
    }
}
