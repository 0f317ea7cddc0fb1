//! A model on its memory, and a fresh one where that was left in disorder.
//!
//! # Invariants
//!
//! 1. Between plays the model has no sections and the memory has no blocks.

use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::{
    BootModel, Geometry, InstallModel, MarkModel, MemoryModel, MemoryRange, NodeId, Pfn, PfnRange,
    RetireModel,
};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

use crate::Backend;
use crate::engine::Layout;
use crate::environment::{Descriptor, Environment, MemoryView, OneThread};
use crate::facts::Build;
use crate::shape::Shape;
use crate::view::settle;

/// The node of all memory.
pub(crate) const NODE: NodeId = NodeId::new(0);

/// What all three models can do.
pub(crate) trait Model:
    BootModel<Environment>
    + InstallModel<Environment>
    + MarkModel
    + RetireModel<Environment>
    + MemoryModel<Page = Descriptor>
{
}

impl<M> Model for M where
    M: BootModel<Environment>
        + InstallModel<Environment>
        + MarkModel
        + RetireModel<Environment>
        + MemoryModel<Page = Descriptor>
{
}

/// A model and what is around it.
pub(crate) struct Stand<M> {
    pub(crate) model: Box<M>,
    pub(crate) environment: Environment,
    pub(crate) shape: Shape,
    pub(crate) probes: Vec<u64>,
    make: fn(&Environment) -> Box<M>,
}

impl<M: Model> Stand<M> {
    /// A stand for the models that `make` makes.
    pub(crate) fn new(shape: Shape, make: fn(&Environment) -> Box<M>) -> Self {
        let environment = Environment::new();
        Self { model: make(&environment), environment, shape, probes: shape.probes(), make }
    }

    /// Boots with the memory of a layout. What boot has to complain of counts as a complaint of the memory.
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
        settle(&*self.model, &self.shape);
    }

    /// Tears down, and says in words what was left.
    pub(crate) fn tear_down(&mut self) -> Result<(), String> {
        self.environment.begin_teardown();
        let torn_down = self.model.tear_down(&mut self.environment);
        let left = self.environment.view();
        let present = self.model.present_sections().count();
        if torn_down.is_ok() && left == MemoryView::default() && present == 0 {
            self.environment.restart();
            return Ok(());
        }
        self.environment = Environment::new();
        self.model = (self.make)(&self.environment);
        Err(format!("{torn_down:?}, {present} sections, {left:?}"))
    }
}

/// The range of frames between two numbers in order.
pub(crate) fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or_default()
}

/// The runs of frames that a layout has, lowest first, each as long as it can be.
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

/// Something to do with a stand of any model.
pub(crate) trait OnStand {
    /// What it results in.
    type Output;

    /// Does it.
    fn run<M: Model>(self, stand: Stand<M>, build: Build) -> Self::Output;
}

/// Does something with a stand of a backend.
pub(crate) fn on_stand<G, const SECTIONS: usize, const ROOTS: usize, F>(
    backend: Backend,
    shape: Shape,
    act: F,
) -> F::Output
where
    G: Geometry,
    F: OnStand,
{
    match backend {
        Backend::ClassicSparse => {
            let make = |_: &Environment| Box::new(ClassicSparse::<G, Descriptor, OneThread, SECTIONS>::new());
            act.run(Stand::new(shape, make), Build::FlatTable)
        }
        Backend::SparseExtreme => {
            let make = |_: &Environment| Box::new(SparseExtreme::<G, Descriptor, OneThread, ROOTS>::new());
            act.run(Stand::new(shape, make), Build::Roots)
        }
        Backend::Vmemmap => {
            let make = |environment: &Environment| {
                let model = Box::new(Vmemmap::<G, Descriptor, OneThread, DynamicBase, ROOTS>::new());
                environment.place(model.placement().base());
                model
            };
            act.run(Stand::new(shape, make), Build::Array)
        }
    }
}
