//! The reference for operations on ranges: the owner of each cell, the state of each block, and the facts of each
//! section.
//!
//! A memory block is one section. Adjacent RAM that was added by hotplug is one resource; RAM of boot stays as it was
//! reported.

use crate::engine::{Layout, Rules};

use crate::environment::Metadata;
use crate::facts::{Cell, Facts};
use crate::instance::runs_of;
use crate::ranges::{Answer, Block, Op, Owner, RangeView, Resource, Verb};
use crate::shape::{CELLS, SECTIONS, Shape};

/// The owner of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Has {
    #[default]
    Free,
    BootRam,
    AddedRam,
    /// A device that begins at this cell.
    Device(usize),
}

/// A state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    facts: Facts,
    cells: [Has; CELLS],
    blocks: [Block; SECTIONS],
}

/// The rules of one machine.
pub(crate) struct RangeRules {
    shape: Shape,
    metadata: Metadata,
    probes: Vec<u64>,
    ops: Vec<Op>,
}

/// Successive cells.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    end: usize,
}

impl RangeRules {
    pub(crate) fn new(shape: Shape, metadata: Metadata) -> Self {
        Self { shape, metadata, probes: shape.probes(), ops: Op::all(&shape.ranges()) }
    }

    /// The cells of a range, or the refusal of the range.
    fn span(&self, op: Op) -> Result<Span, Answer> {
        if op.start == op.end {
            return Err(Answer::Empty);
        }
        let for_device = matches!(op.verb, Verb::AddDevice | Verb::RemoveDevice);
        let granule = self.shape.per_cell * if for_device { 1 } else { self.shape.per_section as u64 };
        if !op.start.is_multiple_of(granule) || !op.end.is_multiple_of(granule) {
            return Err(Answer::Unaligned);
        }
        if op.end > self.shape.max_frame {
            return Err(Answer::BeyondMaximum);
        }
        Ok(Span { first: self.shape.cell_of(op.start), end: self.shape.cell_of(op.end) })
    }

    /// The sections of a span.
    fn sections(&self, span: Span) -> std::ops::Range<usize> {
        span.first / self.shape.per_section..span.end.div_ceil(self.shape.per_section)
    }

    /// The number of the block that is this section of the region.
    const fn block_nr(&self, section: usize) -> u64 {
        self.shape.first_section + section as u64
    }

    /// The resources, lowest first.
    fn resources(&self, world: &World) -> Vec<Resource> {
        let mut resources: Vec<Resource> = Vec::new();
        let mut before = Has::Free;
        for cell in 0..self.shape.cells() {
            let has = world.cells[cell];
            let (start, end) = (self.shape.first_frame(cell), self.shape.first_frame(cell + 1));
            match (has, resources.last_mut()) {
                (Has::Free, _) => {}
                (_, Some(last)) if has == before => last.1 = end,
                (Has::Device(_), _) => resources.push((start, end, Owner::Device)),
                _ => resources.push((start, end, Owner::Ram)),
            }
            before = has;
        }
        resources
    }

    /// The lowest resource that overlaps an operation's range.
    fn owner(&self, world: &World, op: Op, kind: Option<Owner>) -> Option<Resource> {
        let mut resources = self.resources(world).into_iter();
        resources.find(|(start, end, owner)| {
            *start < op.end && op.start < *end && kind.is_none_or(|kind| kind == *owner)
        })
    }

    fn add(&self, world: &mut World, span: Span, has: Has) -> Answer {
        let before = world.facts.valid_frames(&self.shape);
        world.cells[span.first..span.end].fill(has);
        world.facts.cells[span.first..span.end].fill(Cell::Offline);
        Answer::Done { fresh: world.facts.valid_frames(&self.shape) & !before }
    }

    fn add_memory(&self, world: &mut World, op: Op, span: Span) -> Answer {
        if let Some((start, end, _)) = self.owner(world, op, None) {
            return Answer::Conflict(start, end);
        }
        for section in self.sections(span) {
            world.blocks[section] = Block::Offline;
        }
        self.add(world, span, Has::AddedRam)
    }

    fn add_device(&self, world: &mut World, op: Op, span: Span) -> Answer {
        if let Some((start, end, _)) = self.owner(world, op, None) {
            return Answer::Conflict(start, end);
        }
        if !span.first.is_multiple_of(self.shape.per_section) {
            world.facts.tainted[span.first / self.shape.per_section] = true;
        }
        if !span.end.is_multiple_of(self.shape.per_section) {
            world.facts.tainted[span.end / self.shape.per_section] = true;
        }
        self.add(world, span, Has::Device(span.first))
    }

    fn remove(&self, world: &mut World, span: Span) -> Answer {
        world.cells[span.first..span.end].fill(Has::Free);
        world.facts.cells[span.first..span.end].fill(Cell::Absent);
        world.facts.forget_empty(&self.shape);
        let sections = self.sections(span);
        let gone = sections.clone().filter(|section| !world.facts.is_present(&self.shape, *section)).count();
        Answer::Removed { sections: sections.len() as u64, gone: gone as u64 }
    }

    fn remove_memory(&self, world: &mut World, span: Span) -> Answer {
        for section in self.sections(span) {
            match world.blocks[section] {
                Block::None => return Answer::BlockMissing(self.block_nr(section)),
                Block::Offline => {}
                _ => return Answer::BlockNotOffline(self.block_nr(section)),
            }
        }
        for section in self.sections(span) {
            world.blocks[section] = Block::None;
        }
        self.remove(world, span)
    }

    fn remove_device(&self, world: &mut World, op: Op, span: Span) -> Answer {
        match self.owner(world, op, Some(Owner::Device)) {
            None => Answer::NotRegistered(op.start, op.end),
            Some((start, end, _)) if (start, end) != (op.start, op.end) => Answer::NotTheDevice(start, end),
            Some(_) => self.remove(world, span),
        }
    }

    fn switch(&self, world: &mut World, span: Span, from: Block, to: Block) -> Answer {
        for section in self.sections(span) {
            if world.blocks[section] == Block::None {
                return Answer::BlockMissing(self.block_nr(section));
            }
            if world.blocks[section] != from {
                return Answer::BlockElsewhere(self.block_nr(section));
            }
        }
        if let Some((start, end)) = self.hole(world, span) {
            return Answer::Hole(start, end);
        }
        for section in self.sections(span) {
            world.blocks[section] = to;
        }
        let cell = if to == Block::Online { Cell::Online } else { Cell::Offline };
        world.facts.cells[span.first..span.end].fill(cell);
        Answer::Done { fresh: 0 }
    }

    /// The lowest run of cells that are not RAM.
    fn hole(&self, world: &World, span: Span) -> Option<(u64, u64)> {
        let is_ram = |cell: &usize| matches!(world.cells[*cell], Has::BootRam | Has::AddedRam);
        let first = (span.first..span.end).find(|cell| !is_ram(cell))?;
        let end = (first..span.end).find(is_ram).unwrap_or(span.end);
        Some((self.shape.first_frame(first), self.shape.first_frame(end)))
    }

    /// The frames that the allocator has.
    fn usable(&self, world: &World) -> u32 {
        let first = self.shape.first_frame(0);
        let frames = first..self.shape.first_frame(self.shape.cells());
        frames
            .filter(|frame| world.facts.cells[self.shape.cell_of(*frame)] == Cell::Online)
            .fold(0, |usable, frame| usable | 1 << (frame - first))
    }
}

impl Rules for RangeRules {
    type World = World;
    type Op = Op;
    type Answer = Answer;
    type View = RangeView;

    fn ops(&self) -> &[Op] {
        &self.ops
    }

    fn boot(&self, layout: Layout) -> World {
        let mut world = World { facts: Facts::boot(&self.shape, layout), ..World::default() };
        for cell in (0..self.shape.cells()).filter(|cell| layout >> cell & 1 == 1) {
            world.cells[cell] = Has::BootRam;
            world.blocks[cell / self.shape.per_section] = Block::Online;
        }
        world
    }

    fn apply(&self, world: &mut World, op: Op) -> Answer {
        let span = match self.span(op) {
            Ok(span) => span,
            Err(answer) => return answer,
        };
        match op.verb {
            Verb::AddMemory => self.add_memory(world, op, span),
            Verb::RemoveMemory => self.remove_memory(world, span),
            Verb::Online => self.switch(world, span, Block::Offline, Block::Online),
            Verb::Offline => self.switch(world, span, Block::Online, Block::Offline),
            Verb::AddDevice => self.add_device(world, op, span),
            Verb::RemoveDevice => self.remove_device(world, op, span),
        }
    }

    fn is_accepted(&self, answer: Answer) -> bool {
        matches!(answer, Answer::Done { .. } | Answer::Removed { .. })
    }

    fn inverse(&self, op: Op) -> Option<Op> {
        let verb = match op.verb {
            Verb::AddMemory => Verb::RemoveMemory,
            Verb::RemoveMemory => Verb::AddMemory,
            Verb::Online => Verb::Offline,
            Verb::Offline => Verb::Online,
            Verb::AddDevice => Verb::RemoveDevice,
            Verb::RemoveDevice => Verb::AddDevice,
        };
        Some(Op { verb, ..op })
    }

    fn view(&self, world: &World) -> RangeView {
        let mut view = RangeView {
            model: world.facts.view(&self.shape, self.metadata, &self.probes),
            blocks: world.blocks,
            usable: self.usable(world),
            ..RangeView::default()
        };
        for (place, resource) in view.resources.iter_mut().zip(self.resources(world)) {
            *place = Some(resource);
        }
        view
    }

    fn describe(&self, layout: Layout) -> String {
        format!("boot with frames {:?}", runs_of(&self.shape, layout))
    }
}
