//! The facts that a reference keeps of sections, in plain arrays, and everything that can be observed as a
//! consequence.
//!
//! # Invariants
//!
//! 1. This module does not call the crates under test; it repeats their constants.
//! 2. A section is present exactly while one of its cells is populated. An absent section is neither early nor
//!    tainted.

use crate::environment::Metadata;
use crate::environment::{DESCRIPTOR_BYTES, MemoryView};
use crate::shape::{CELLS, FRAMES, SECTIONS, Shape};
use crate::view::{FrameView, SectionView, View};

/// The state of one subsection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Cell {
    #[default]
    Absent,
    Offline,
    Online,
}

/// All facts that a model must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) cells: [Cell; CELLS],
    pub(crate) early: [bool; SECTIONS],
    pub(crate) tainted: [bool; SECTIONS],
}

impl Facts {
    /// The facts after a boot with one bit per cell that has memory.
    pub(crate) fn boot(shape: &Shape, layout: u32) -> Self {
        let mut facts = Self::default();
        for cell in 0..shape.cells() {
            if layout >> cell & 1 == 1 {
                facts.cells[cell] = Cell::Online;
                facts.early[cell / shape.per_section] = true;
            }
        }
        facts
    }

    /// Clears the marks of sections without populated cells.
    pub(crate) fn forget_empty(&mut self, shape: &Shape) {
        for section in 0..shape.sections {
            if !self.is_present(shape, section) {
                self.early[section] = false;
                self.tainted[section] = false;
            }
        }
    }

    /// True if a section has a populated cell.
    pub(crate) fn is_present(&self, shape: &Shape, section: usize) -> bool {
        self.section_cells(shape, section).iter().any(|cell| *cell != Cell::Absent)
    }

    /// True if a frame of a cell has a descriptor. In early sections, all frames have one.
    pub(crate) fn is_valid(&self, shape: &Shape, cell: usize) -> bool {
        self.early[cell / shape.per_section] || self.cells[cell] != Cell::Absent
    }

    /// The frames of the region that have descriptors, one bit each.
    pub(crate) fn valid_frames(&self, shape: &Shape) -> u32 {
        let mut frames = 0;
        for frame in shape.first_frame(0)..shape.first_frame(shape.cells()) {
            if self.is_valid(shape, shape.cell_of(frame)) {
                frames |= 1 << (frame - shape.first_frame(0));
            }
        }
        frames
    }

    /// Everything that can be observed.
    pub(crate) fn view(&self, shape: &Shape, metadata: Metadata, probes: &[u64]) -> View {
        let mut view = View::default();
        for section in 0..shape.sections {
            view.sections[section] = self.section(shape, section);
            view.present |= u8::from(self.is_present(shape, section)) << section;
        }
        for (to, probe) in view.frames.iter_mut().zip(probes.iter().take(FRAMES)) {
            *to = self.frame(shape, *probe);
        }
        view.runs = self.valid_frames(shape);
        view.memory = self.memory(shape, metadata);
        view
    }

    fn section_cells(&self, shape: &Shape, section: usize) -> &[Cell] {
        &self.cells[section * shape.per_section..(section + 1) * shape.per_section]
    }

    fn section(&self, shape: &Shape, section: usize) -> SectionView {
        let mut view = SectionView::default();
        for (bit, cell) in self.section_cells(shape, section).iter().enumerate() {
            if *cell != Cell::Absent {
                view.populated |= 1 << bit;
            }
            if *cell == Cell::Online {
                view.online |= 1 << bit;
            }
        }
        if view.populated != 0 {
            view.flags = 1 | 1 << 1;
            view.flags |= u8::from(view.online != 0) << 2;
            view.flags |= u8::from(self.early[section]) << 3;
            view.flags |= u8::from(self.tainted[section]) << 4;
        }
        view
    }

    fn frame(&self, shape: &Shape, frame: u64) -> FrameView {
        if frame >= shape.max_frame {
            return FrameView::BeyondMaximum;
        }
        if frame < shape.first_frame(0) || frame >= shape.first_frame(shape.cells()) {
            return FrameView::AbsentSection;
        }
        let cell = shape.cell_of(frame);
        if !self.is_present(shape, cell / shape.per_section) {
            return FrameView::AbsentSection;
        }
        if !self.is_valid(shape, cell) {
            return FrameView::AbsentSubsection;
        }
        if self.cells[cell] == Cell::Online { FrameView::Online } else { FrameView::Offline }
    }

    /// The expected blocks of metadata, and the pages of the array that hold a descriptor of a valid frame.
    fn memory(&self, shape: &Shape, metadata: Metadata) -> MemoryView {
        let present = (0..shape.sections).filter(|section| self.is_present(shape, *section));
        let count = |blocks: usize| u16::try_from(blocks).unwrap_or(u16::MAX);
        let sections = count(present.clone().count());
        let root = |section| (shape.first_section + section as u64) / shape.per_root;
        let mut roots: Vec<u64> = present.map(root).collect();
        roots.dedup();
        let (mut view, roots) = (MemoryView::default(), count(roots.len()));
        match metadata {
            Metadata::NotCompared => {}
            Metadata::OneBlock => view.other_blocks = sections.min(1),
            Metadata::PerSection => (view.memmap_blocks, view.other_blocks) = (sections, sections),
            Metadata::PerSectionAndRoot => {
                (view.memmap_blocks, view.other_blocks) = (sections, sections + roots);
            }
            Metadata::PerSectionRootAndPage => {
                view.mapped = self.needed_pages(shape);
                let pages = count(view.mapped.count_ones() as usize);
                // Three tables lead to the pages.
                let tables = if pages == 0 { 0 } else { 3 };
                (view.memmap_blocks, view.other_blocks) = (pages, sections + roots + tables);
            }
        }
        view
    }

    fn needed_pages(&self, shape: &Shape) -> u32 {
        let mut pages = 0;
        for frame in shape.first_frame(0)..shape.first_frame(shape.cells()) {
            if self.is_valid(shape, shape.cell_of(frame)) {
                let (first, end) = (frame * DESCRIPTOR_BYTES, (frame + 1) * DESCRIPTOR_BYTES);
                for page in first / 4096..end.div_ceil(4096) {
                    pages |= 1 << page;
                }
            }
        }
        pages
    }
}
