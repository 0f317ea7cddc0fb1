//! A model with its environment; it is replaced by a fresh one if a walk leaves it with sections or blocks.
//!
//! # Invariants
//!
//! 1. Between loans the model has no sections and the environment has no blocks.

use sparsemem_core::{CompleteModel, MemoryRange, NodeId, Pfn, PfnRange};

use crate::engine::Layout;
use crate::environment::Metadata;
use crate::environment::{Descriptor, Environment, MemoryView, Place};
use crate::shape::Shape;
use crate::view::settle;

/// The node of all memory.
pub(crate) const NODE: NodeId = NodeId::new(0);

/// A model that is walked.
pub(crate) trait Model: CompleteModel<Environment, Page = Descriptor> {}

impl<M: CompleteModel<Environment, Page = Descriptor>> Model for M {}

/// A model and its environment.
pub(crate) struct Instance<'w, M> {
    pub(crate) model: M,
    make: &'w dyn Fn(Place) -> M,
    metadata: Metadata,
    pub(crate) environment: Environment,
    pub(crate) shape: Shape,
    pub(crate) probes: Vec<u64>,
}

impl<'w, M: Model> Instance<'w, M> {
    /// An instance of a model.
    pub(crate) fn new(shape: Shape, metadata: Metadata, make: &'w dyn Fn(Place) -> M) -> Self {
        let environment = Environment::new(metadata);
        let model = fresh(&shape, make, &environment);
        Self { model, make, metadata, environment, shape, probes: shape.probes() }
    }

    /// Boots with the memory of a layout. Events that boot reports count as complaints of the environment.
    pub(crate) fn boot(&mut self, layout: Layout) {
        let memory = runs_of(&self.shape, layout);
        let memory =
            memory.iter().map(|(start, end)| MemoryRange { frames: frames(*start, *end), node: NODE });
        let mut events = 0;
        let writer = self.model.write();
        let booted =
            writer.map(|mut writer| writer.boot(&mut self.environment, memory, &mut |_| events += 1));
        if !matches!(booted, Some(Ok(_))) || events > 0 {
            self.environment.complain();
        }
        settle(&self.model, &self.shape);
    }

    /// Tears the model down, and reports in words what was left.
    pub(crate) fn tear_down(&mut self) -> Result<(), String> {
        self.environment.begin_teardown();
        let torn_down = self.model.tear_down(&mut self.environment);
        let left = self.environment.left();
        let present = self.model.present_sections().count();
        if torn_down.is_ok() && left == MemoryView::default() && present == 0 {
            self.environment.restart();
            return Ok(());
        }
        self.environment = Environment::new(self.metadata);
        self.model = fresh(&self.shape, self.make, &self.environment);
        Err(format!("{torn_down:?}, {present} sections, {left:?}"))
    }
}

/// A fresh model with room for all frames of a machine.
fn fresh<M: Model>(shape: &Shape, make: &dyn Fn(Place) -> M, environment: &Environment) -> M {
    let model = make(environment.place());
    if let Some(mut writer) = model.write() {
        writer.reserve(frames(shape.first_frame(0), shape.first_frame(shape.cells())));
    }
    model
}

/// The range of frames between two numbers in order.
pub(crate) fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or_default()
}

/// The maximal runs of frames of a layout, lowest first.
pub(crate) fn runs_of(shape: &Shape, layout: Layout) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for cell in (0..shape.cells()).filter(|cell| layout >> cell & 1 == 1) {
        let (start, end) = (shape.first_frame(cell), shape.first_frame(cell + 1));
        match runs.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => runs.push((start, end)),
        }
    }
    runs
}
