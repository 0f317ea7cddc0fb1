//! The reference for operations on one section: arrays and questions, in the order in which the contracts ask them.

use crate::engine::{Layout, Rules};
use crate::facts::{Build, Cell, Facts};
use crate::sections::{Answer, Op, Verb};
use crate::shape::Shape;
use crate::stand::runs_of;
use crate::view::View;

/// The rules of one machine.
pub(crate) struct SectionRules {
    shape: Shape,
    build: Build,
    probes: Vec<u64>,
    ops: Vec<Op>,
}

/// Successive cells of one section.
#[derive(Clone, Copy)]
struct Span {
    section: usize,
    first: usize,
    end: usize,
}

impl SectionRules {
    pub(crate) fn new(shape: Shape, build: Build) -> Self {
        Self { shape, build, probes: shape.probes(), ops: Op::all(&shape.ranges()) }
    }

    /// The cells of a range, or why there are none.
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
        let (first, end) = (self.shape.cell_of(op.start), self.shape.cell_of(op.end));
        let section = first / self.shape.per_section;
        if section != (end - 1) / self.shape.per_section {
            return Err(Answer::CrossesSection);
        }
        Ok(Span { section, first, end })
    }

    /// The cells of a span that are as asked, a bit each from the section's first.
    fn those(&self, world: &Facts, span: Span, wanted: impl Fn(Cell) -> bool) -> u16 {
        let mut bits = 0;
        for cell in span.first..span.end {
            if wanted(world.cells[cell]) {
                bits |= 1 << (cell - span.section * self.shape.per_section);
            }
        }
        bits
    }

    fn install(&self, world: &mut Facts, span: Span) -> Answer {
        let populated = self.those(world, span, |cell| cell != Cell::Absent);
        if populated != 0 {
            return Answer::Populated(populated);
        }
        let before = world.valid_frames(&self.shape);
        world.cells[span.first..span.end].fill(Cell::Offline);
        Answer::Done { fresh: world.valid_frames(&self.shape) & !before }
    }

    fn retire(&self, world: &mut Facts, span: Span) -> Answer {
        let absent = self.those(world, span, |cell| cell == Cell::Absent);
        if absent != 0 {
            return Answer::Absent(absent);
        }
        let online = self.those(world, span, |cell| cell == Cell::Online);
        if online != 0 {
            return Answer::Online(online);
        }
        world.cells[span.first..span.end].fill(Cell::Absent);
        world.forget_empty(&self.shape);
        if world.is_present(&self.shape, span.section) {
            return Answer::Done { fresh: 0 };
        }
        Answer::LastIsGone
    }

    fn mark(&self, world: &mut Facts, span: Span, verb: Verb) -> Answer {
        let absent = self.those(world, span, |cell| cell == Cell::Absent);
        if absent != 0 {
            return Answer::Absent(absent);
        }
        let goal = if verb == Verb::SetOnline { Cell::Online } else { Cell::Offline };
        let already = self.those(world, span, |cell| cell == goal);
        if already != 0 {
            return Answer::Already(already);
        }
        world.cells[span.first..span.end].fill(goal);
        Answer::Done { fresh: 0 }
    }

    fn taint(&self, world: &mut Facts, span: Span) -> Answer {
        let absent = self.those(world, span, |cell| cell == Cell::Absent);
        if absent != 0 {
            return Answer::Absent(absent);
        }
        world.tainted[span.section] = true;
        Answer::Done { fresh: 0 }
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
        let span = match self.span(op) {
            Ok(span) => span,
            Err(answer) => return answer,
        };
        match op.verb {
            Verb::Install => self.install(world, span),
            Verb::Retire => self.retire(world, span),
            Verb::SetOnline | Verb::SetOffline => self.mark(world, span, op.verb),
            Verb::Taint => self.taint(world, span),
        }
    }

    fn is_accepted(&self, answer: Answer) -> bool {
        matches!(answer, Answer::Done { .. } | Answer::LastIsGone)
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
        world.view(&self.shape, self.build, &self.probes)
    }

    fn describe(&self, layout: Layout) -> String {
        format!("boot with frames {:?}", runs_of(&self.shape, layout))
    }
}
