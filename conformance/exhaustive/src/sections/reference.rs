//! The reference for operations below hotplug: arrays and conditions, in the order in which the contracts state them.

use crate::engine::{Layout, Rules};

use crate::environment::Metadata;
use crate::facts::{Cell, Facts};
use crate::instance::runs_of;
use crate::sections::{Answer, Op, Verb};
use crate::shape::Shape;
use crate::view::View;

/// The rules of one machine.
pub(crate) struct SectionRules {
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

/// Successive cells of one section.
#[derive(Clone, Copy)]
struct Part {
    section: usize,
    first: usize,
    end: usize,
}

impl SectionRules {
    pub(crate) fn new(shape: Shape, metadata: Metadata) -> Self {
        Self { shape, metadata, probes: shape.probes(), ops: Op::all(&shape.ranges()) }
    }

    /// The cells of a range, or the refusal of the range.
    fn span(&self, op: Op) -> Result<Span, Answer> {
        if op.start == op.end {
            return Err(Answer::Empty);
        }
        if !op.start.is_multiple_of(self.shape.per_cell) || !op.end.is_multiple_of(self.shape.per_cell) {
            return Err(Answer::Unaligned);
        }
        if op.end > self.shape.max_frame {
            return Err(Answer::BeyondMaximum);
        }
        Ok(Span { first: self.shape.cell_of(op.start), end: self.shape.cell_of(op.end) })
    }

    /// The parts of a span by section, lowest first.
    fn parts(&self, span: Span) -> Vec<Part> {
        let per_section = self.shape.per_section;
        let sections = span.first / per_section..span.end.div_ceil(per_section);
        let part = |section: usize| Part {
            section,
            first: span.first.max(section * per_section),
            end: span.end.min((section + 1) * per_section),
        };
        sections.map(part).collect()
    }

    /// Checks that no cell of a part satisfies a condition; `Err` has those that do, one bit each, counted from the
    /// section's first.
    fn none_is(
        &self,
        world: &Facts,
        part: Part,
        wanted: impl Fn(Cell) -> bool,
        answer: fn(u64, u16) -> Answer,
    ) -> Result<(), Answer> {
        let mut bits = 0;
        for cell in part.first..part.end {
            if wanted(world.cells[cell]) {
                bits |= 1 << (cell - part.section * self.shape.per_section);
            }
        }
        if bits == 0 { Ok(()) } else { Err(answer(self.shape.first_section + part.section as u64, bits)) }
    }

    /// Installs cells, which must lie in one section.
    fn install(&self, world: &mut Facts, span: Span) -> Result<Answer, Answer> {
        let [part] = self.parts(span)[..] else { return Err(Answer::CrossesSection) };
        self.none_is(world, part, |cell| cell != Cell::Absent, Answer::Populated)?;
        let before = world.valid_frames(&self.shape);
        world.cells[span.first..span.end].fill(Cell::Offline);
        Ok(Answer::Done { fresh: world.valid_frames(&self.shape) & !before })
    }

    fn retire(&self, world: &mut Facts, span: Span) -> Result<Answer, Answer> {
        let parts = self.parts(span);
        for part in &parts {
            self.none_is(world, *part, |cell| cell == Cell::Absent, Answer::Absent)?;
            self.none_is(world, *part, |cell| cell == Cell::Online, Answer::Online)?;
        }
        world.cells[span.first..span.end].fill(Cell::Absent);
        world.forget_empty(&self.shape);
        let gone = parts.iter().filter(|part| !world.is_present(&self.shape, part.section)).count();
        Ok(Answer::Retired { sections: parts.len() as u64, gone: gone as u64 })
    }

    fn mark(&self, world: &mut Facts, span: Span, goal: Cell) -> Result<Answer, Answer> {
        for part in self.parts(span) {
            self.none_is(world, part, |cell| cell == Cell::Absent, Answer::Absent)?;
            self.none_is(world, part, |cell| cell == goal, Answer::Already)?;
        }
        world.cells[span.first..span.end].fill(goal);
        Ok(Answer::Done { fresh: 0 })
    }

    fn taint(&self, world: &mut Facts, span: Span) -> Result<Answer, Answer> {
        let parts = self.parts(span);
        for part in &parts {
            self.none_is(world, *part, |cell| cell == Cell::Absent, Answer::Absent)?;
        }
        parts.iter().for_each(|part| world.tainted[part.section] = true);
        Ok(Answer::Done { fresh: 0 })
    }

    /// The answer of an operation, accepted or refused.
    fn outcome(&self, world: &mut Facts, op: Op) -> Result<Answer, Answer> {
        let span = self.span(op)?;
        match op.verb {
            Verb::Install => self.install(world, span),
            Verb::Retire => self.retire(world, span),
            Verb::SetOnline => self.mark(world, span, Cell::Online),
            Verb::SetOffline => self.mark(world, span, Cell::Offline),
            Verb::Taint => self.taint(world, span),
        }
    }
}

impl Rules for SectionRules {
    type World = Facts;
    type Op = Op;
    type Answer = Answer;
    type View = View;

    fn ops(&self) -> &[Op] {
        &self.ops
    }

    fn boot(&self, layout: Layout) -> Facts {
        Facts::boot(&self.shape, layout)
    }

    fn apply(&self, world: &mut Facts, op: Op) -> Answer {
        self.outcome(world, op).unwrap_or_else(|refusal| refusal)
    }

    fn is_accepted(&self, answer: Answer) -> bool {
        matches!(answer, Answer::Done { .. } | Answer::Retired { .. })
    }

    fn inverse(&self, op: Op) -> Option<Op> {
        let verb = match op.verb {
            Verb::Install => Verb::Retire,
            Verb::Retire => Verb::Install,
            Verb::SetOnline => Verb::SetOffline,
            Verb::SetOffline => Verb::SetOnline,
            Verb::Taint => return None,
        };
        Some(Op { verb, ..op })
    }

    fn view(&self, world: &Facts) -> View {
        world.view(&self.shape, self.metadata, &self.probes)
    }

    fn describe(&self, layout: Layout) -> String {
        format!("boot with frames {:?}", runs_of(&self.shape, layout))
    }
}
