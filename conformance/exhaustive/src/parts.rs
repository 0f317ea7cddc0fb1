//! The parts of a small and of a full walk: their machines, and their level.

use sparsemem_core::Geometry;

use crate::Size;
use crate::engine::{Finding, Machines, Rules, Tally, Walk};
use crate::instance::Instance;
use crate::ranges::{RangeMachines, RangeRules};
use crate::sections::{SectionMachines, SectionRules};
use crate::shape::{Pair, Quad, Shape, Triple};
use crate::walked::{On, Walked};

/// The machine of a part.
#[derive(Clone, Copy)]
enum Machine {
    Pair,
    Triple,
    Quad,
}

/// The level at which the memory is driven.
#[derive(Clone, Copy)]
enum Level {
    Sections,
    Ranges,
}

/// Says whether equal states of different layouts are visited once, or once for each layout.
#[derive(Clone, Copy)]
enum Layouts {
    Together,
    Each,
}

/// A part of a walk.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    machine: Machine,
    level: Level,
    layouts: Layouts,
}

const fn part(name: &'static str, machine: Machine, level: Level, layouts: Layouts) -> Part {
    Part { name, machine, level, layouts }
}

const SMALL: &[Part] = &[
    part("pair by sections", Machine::Pair, Level::Sections, Layouts::Together),
    part("pair by ranges", Machine::Pair, Level::Ranges, Layouts::Each),
    part("triple by ranges", Machine::Triple, Level::Ranges, Layouts::Together),
];

const FULL: &[Part] = &[
    part("pair by sections, each layout", Machine::Pair, Level::Sections, Layouts::Each),
    part("triple by sections", Machine::Triple, Level::Sections, Layouts::Together),
    part("quad by sections", Machine::Quad, Level::Sections, Layouts::Together),
    part("pair by ranges, each layout", Machine::Pair, Level::Ranges, Layouts::Each),
    part("triple by ranges, each layout", Machine::Triple, Level::Ranges, Layouts::Each),
    part("quad by ranges, each layout", Machine::Quad, Level::Ranges, Layouts::Each),
];

impl Part {
    /// The parts of a size.
    pub(crate) const fn all(size: Size) -> &'static [Self] {
        match size {
            Size::Small => SMALL,
            Size::Full => FULL,
        }
    }

    /// Walks this part, and adds its counters to a tally.
    pub(crate) fn walk<W: Walked>(
        self,
        walked: &W,
        tally: &mut Tally,
        on_state: &mut dyn FnMut(&Tally),
    ) -> Result<(), Finding> {
        match self.machine {
            Machine::Pair => self.on::<Pair, W>((3, 2), walked, tally, on_state),
            Machine::Triple => self.on::<Triple, W>((1, 3), walked, tally, on_state),
            Machine::Quad => self.on::<Quad, W>((0, 2), walked, tally, on_state),
        }
    }

    /// Walks on machines with a number of sections, from a first section on.
    fn on<G: Geometry, W: Walked + On<G>>(
        self,
        (first, sections): (u64, usize),
        walked: &W,
        tally: &mut Tally,
        on_state: &mut dyn FnMut(&Tally),
    ) -> Result<(), Finding> {
        let (shape, metadata) = (Shape::of::<G>(first, sections), walked.metadata());
        let make = |place| On::<G>::fresh(walked, place);
        let part = OnPart { part: self, shape, tally, on_state };
        let instance = Instance::new(shape, metadata, &make);
        match self.level {
            Level::Sections => {
                part.explore(&SectionRules::new(shape, metadata), &mut SectionMachines(instance))
            }
            Level::Ranges => part.explore(&RangeRules::new(shape, metadata), &mut RangeMachines(instance)),
        }
    }
}

/// A part on its machines.
struct OnPart<'w> {
    part: Part,
    shape: Shape,
    tally: &'w mut Tally,
    on_state: &'w mut dyn FnMut(&Tally),
}

impl OnPart<'_> {
    fn explore<R: Rules>(self, rules: &R, machines: &mut dyn Machines<R>) -> Result<(), Finding> {
        let Self { part, shape, tally, on_state } = self;
        let mut walk = Walk { rules, machines, tally: *tally, on_state };
        let layouts = 0..1 << shape.cells();
        match part.layouts {
            Layouts::Together => walk.explore(layouts)?,
            Layouts::Each => {
                layouts.into_iter().try_for_each(|layout| walk.explore(std::iter::once(layout)))?;
            }
        }
        *tally = walk.tally;
        Ok(())
    }
}
