//! The tiny machines: their geometries, and their numbers for the references.
//!
//! | machine | sections of the geometry | walked sections | purpose |
//! |---|---|---|---|
//! | `pair` | 8 of 2 subsections | 3 and 4 | two sections with different roots |
//! | `triple` | 4 of 2 subsections | 1 to 3 | a section between two others, and the last section of the geometry |
//! | `quad` | 2 of 4 subsections | 0 and 1 | all sections of the geometry; subsections without a neighbour outside their section |
//!
//! A subsection has two frames, so that some frame borders are not subsection borders.

use std::sync::atomic::AtomicU64;

use sparsemem_core::{Geometry, SectionShape};

macro_rules! geometry {
    ($(#[$doc:meta])* $name:ident = $text:literal, section $section:literal, physmem $physmem:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Geometry for $name {
            const NAME: &'static str = $text;
            const PAGE_SHIFT: u32 = 6;
            const SECTION_SIZE_BITS: u32 = $section;
            const MAX_PHYSMEM_BITS: u32 = $physmem;
            const SUBSECTION_SHIFT: u32 = 7;
            const PAGEBLOCK_ORDER: u32 = 1;
            type SubsectionMap = [AtomicU64; 1];
            type PageblockFlags = [AtomicU64; 1];
        }

        const _: () = $name::CHECK;
    };
}

geometry! {
    /// Eight sections of two subsections; four sections to a root.
    Pair = "pair", section 8, physmem 11
}

geometry! {
    /// Four sections of two subsections.
    Triple = "triple", section 8, physmem 10
}

geometry! {
    /// Two sections of four subsections.
    Quad = "quad", section 9, physmem 10
}

/// The largest number of sections that are walked.
pub(crate) const SECTIONS: usize = 3;
/// The largest number of subsections that are walked.
pub(crate) const CELLS: usize = 8;
/// The largest number of frames that are looked up: those of the walked region, and some around it.
pub(crate) const FRAMES: usize = 20;

/// The numbers of a machine. A *cell* is a subsection of the walked region, numbered from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// The first section of the region.
    pub(crate) first_section: u64,
    /// Sections of the region.
    pub(crate) sections: usize,
    /// Cells of a section.
    pub(crate) per_section: usize,
    /// Frames of a cell.
    pub(crate) per_cell: u64,
    /// The first frame beyond the geometry's maximum.
    pub(crate) max_frame: u64,
    /// The number of sections whose table entries share a block.
    pub(crate) per_root: u64,
}

impl Shape {
    /// The numbers of a geometry, for `sections` sections from `first_section`.
    pub(crate) const fn of<G: Geometry>(first_section: u64, sections: usize) -> Self {
        Self {
            name: G::NAME,
            first_section,
            sections,
            per_section: G::SUBSECTIONS_PER_SECTION as usize,
            per_cell: G::PAGES_PER_SUBSECTION,
            max_frame: G::MAX_PFN,
            per_root: G::SECTIONS_PER_ROOT,
        }
    }

    /// Cells of the region.
    pub(crate) const fn cells(&self) -> usize {
        self.sections * self.per_section
    }

    /// The first frame of a cell; for the number of cells, the first frame past the region.
    pub(crate) const fn first_frame(&self, cell: usize) -> u64 {
        (self.first_section * self.per_section as u64 + cell as u64) * self.per_cell
    }

    /// The cell of a frame of the region.
    pub(crate) fn cell_of(&self, frame: u64) -> usize {
        let cell = frame.saturating_sub(self.first_frame(0)) / self.per_cell;
        usize::try_from(cell).unwrap_or(usize::MAX).min(self.cells())
    }

    /// The frames that are looked up: the region with one frame on each side, the last possible frame, and two frames
    /// beyond it.
    pub(crate) fn probes(&self) -> Vec<u64> {
        let (first, end) = (self.first_frame(0), self.first_frame(self.cells()));
        let mut probes: Vec<u64> = (first.saturating_sub(1)..=end).collect();
        probes.extend([self.max_frame - 1, self.max_frame, u64::MAX]);
        probes.sort_unstable();
        probes.dedup();
        probes
    }

    /// The ranges of frames that operations are tried with: all ranges between borders of cells of the region,
    /// including empty ones; each half cell; the region without one frame at either end; and ranges that reach beyond
    /// the maximum or wrap.
    pub(crate) fn ranges(&self) -> Vec<(u64, u64)> {
        let borders: Vec<u64> = (0..=self.cells()).map(|cell| self.first_frame(cell)).collect();
        let from =
            |start: &u64| borders.iter().filter(|end| *end >= start).map(|end| (*start, *end)).collect();
        let mut ranges: Vec<(u64, u64)> =
            borders.iter().flat_map(|start| -> Vec<_> { from(start) }).collect();
        for cell in 0..self.cells() {
            let start = self.first_frame(cell);
            ranges.extend([(start, start + 1), (start + 1, start + 2)]);
        }
        let (first, end, max) = (borders[0], borders[self.cells()], self.max_frame);
        let (cell, top) = (self.per_cell, u64::MAX);
        ranges.extend([(first + 1, end), (first, end - 1), (max - cell, max + cell), (max, max + cell)]);
        ranges.extend([(max, max), (0, top & !(cell - 1)), (top - 1, top), (top, top)]);
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_fits_what_is_looked_at() {
        let quad = Shape::of::<Quad>(0, 2);
        assert_eq!((quad.cells(), quad.max_frame), (CELLS, 16));
        assert!(quad.probes().len() <= FRAMES);
        let pair = Shape::of::<Pair>(3, 2);
        assert_eq!((pair.first_frame(0), pair.cell_of(15), pair.per_root), (12, 1, 4));
        assert_eq!(pair.ranges().len(), 15 + 8 + 8);
    }
}
