//! Which machines are walked, and how: the parts of a small and of a full walk.

use sparsemem_core::SectionShape;

use crate::engine::{Finding, Rules, Stage, Tally, Walk};
use crate::facts::Build;
use crate::ranges::{RangeRules, RangeStage};
use crate::sections::{SectionRules, SectionStage};
use crate::shape::{Pair, Quad, Shape, Triple};
use crate::stand::{Model, OnStand, Stand, on_stand};
use crate::{Backend, Size};

/// The machine of a part.
#[derive(Clone, Copy)]
enum Machine {
    Pair,
    Triple,
    Quad,
}

/// By what the memory is driven.
#[derive(Clone, Copy)]
enum Level {
    Sections,
    Ranges,
}

/// Whether states of different layouts that look the same are visited once or for each layout.
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

    /// Walks this part, and adds what was done to a tally.
    pub(crate) fn walk(
        self,
        backend: Backend,
        tally: &mut Tally,
        on_state: &mut dyn FnMut(&Tally),
    ) -> Result<(), Finding> {
        macro_rules! on {
            ($geometry:ident, $first:literal, $sections:literal) => {{
                let shape = Shape::of::<$geometry>($first, $sections);
                let walk = OnPart { part: self, shape, tally, on_state };
                on_stand::<$geometry, { $geometry::NR_SECTIONS_LEN }, { $geometry::NR_ROOTS_LEN }, _>(
                    backend, shape, walk,
                )
            }};
        }
        match self.machine {
            Machine::Pair => on!(Pair, 3, 2),
            Machine::Triple => on!(Triple, 1, 3),
            Machine::Quad => on!(Quad, 0, 2),
        }
    }
}

/// A part that waits for its stand.
struct OnPart<'w> {
    part: Part,
    shape: Shape,
    tally: &'w mut Tally,
    on_state: &'w mut dyn FnMut(&Tally),
}

impl OnStand for OnPart<'_> {
    type Output = Result<(), Finding>;

    fn run<M: Model>(self, stand: Stand<M>, build: Build) -> Self::Output {
        match self.part.level {
            Level::Sections => self.explore(&SectionRules::new(stand.shape, build), &mut SectionStage(stand)),
            Level::Ranges => self.explore(&RangeRules::new(stand.shape, build), &mut RangeStage(stand)),
        }
    }
}

impl OnPart<'_> {
    fn explore<R: Rules>(self, rules: &R, stage: &mut dyn Stage<R>) -> Result<(), Finding> {
        let Self { part, shape, tally, on_state } = self;
        let mut walk = Walk { rules, stage, tally: *tally, on_state };
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
