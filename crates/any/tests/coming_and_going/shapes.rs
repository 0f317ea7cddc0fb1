//! Geometries at the edges of what is possible.

use sparsemem_core::Geometry;
use sparsemem_core::primitive::AtomicU64;

/// Eight sections of one subsection of eight frames: a section comes and goes as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solid;

impl Geometry for Solid {
    const NAME: &'static str = "solid";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 15;
    const MAX_PHYSMEM_BITS: u32 = 18;
    const SUBSECTION_SHIFT: u32 = 15;
    const PAGEBLOCK_ORDER: u32 = 1;
    type SubsectionMap = [AtomicU64; 1];
    type PageblockFlags = [AtomicU64; 1];
}

/// Eight sections of four subsections of 128 frames: with descriptors of 256 KiB, all of memory is described in 1 GiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row;

impl Geometry for Row {
    const NAME: &'static str = "row";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 21;
    const MAX_PHYSMEM_BITS: u32 = 24;
    const SUBSECTION_SHIFT: u32 = 19;
    const PAGEBLOCK_ORDER: u32 = 7;
    type SubsectionMap = [AtomicU64; 1];
    type PageblockFlags = [AtomicU64; 1];
}
