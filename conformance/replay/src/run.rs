//! Makes a fresh model on a fresh machine for a recording, and replays it step by step.
//!
//! # Invariants
//!
//! 1. After a replay without errors, the machine has all its memory back.

use sparsemem_altmap::MemmapRule;
use sparsemem_core::{BootModel, SectionShape};
use sparsemem_fixture::{Backend, Fixture};
use sparsemem_machine::{Addresses, Machine, MachineConfig};

use super::facts::Disagreement;
use super::model::Model;
use super::recorded::{self, Scope};
use super::script::{Geo, Script};
use super::system::{System, Tables};
use super::words::DESCRIPTOR;

/// Why a replay stopped early.
pub(super) struct Halt {
    /// The step, if the replay stopped in one.
    pub(super) step: Option<usize>,
    /// The operation.
    pub(super) doing: String,
    /// The error.
    pub(super) why: String,
}

impl Halt {
    fn new(step: Option<usize>, doing: &dyn ToString, why: &dyn ToString) -> Self {
        Self { step, doing: doing.to_string(), why: why.to_string() }
    }
}

/// Replays a recording on a backend, and passes the differences after each step to `judge`.
pub(super) fn run(
    script: &Script,
    backend: Backend,
    judge: &mut dyn FnMut(usize, Vec<Disagreement>),
) -> Result<(), Halt> {
    let window = if backend.has_array() { window_bytes(script) } else { 0 };
    let _addresses = Addresses::take(end_of(script).saturating_add(window));
    let fixture = Fixture::<Model>::new(backend, &machine(script, window));
    let Fixture { mut model, machine } =
        fixture.map_err(|error| Halt::new(None, &"making a machine", &error))?;
    Replaying { script, backend, judge }.on(&mut model, machine)
}

/// A machine with the memory of boot. Its allocators do not have the memory that is added later.
fn machine(script: &Script, window: u64) -> MachineConfig {
    let mut config = MachineConfig::new().vmemmap_bytes(window);
    config.memory.clone_from(&script.memory);
    config.unmanaged.clone_from(&script.later);
    config
}

/// The first address past all memory, including memory that is added later.
fn end_of(script: &Script) -> u64 {
    let ranges = script.memory.iter().map(|(range, _)| range).chain(&script.later);
    ranges.map(|range| range.end().get()).max().unwrap_or(0)
}

/// Bytes of the array up to the end of all memory, in whole sections.
fn window_bytes(script: &Script) -> u64 {
    end_of(script).next_multiple_of(Geo::SECTION_SIZE) / Geo::PAGE_SIZE * DESCRIPTOR
}

/// A recording with the parts that its replay needs.
struct Replaying<'p> {
    script: &'p Script,
    backend: Backend,
    judge: &'p mut dyn FnMut(usize, Vec<Disagreement>),
}

impl Replaying<'_> {
    /// Replays, and takes everything down.
    fn on(self, model: &mut Model, mut machine: Machine) -> Result<(), Halt> {
        self.steps(model, &mut machine)?;
        let lost = BootModel::<Machine>::tear_down(model, &mut machine);
        lost.map_err(|error| Halt::new(None, &"tearing the model down", &error))?;
        if machine.balance().is_zero() {
            return Ok(());
        }
        let left = format!("{:?} were not given back", machine.balance().total());
        Err(Halt::new(None, &"tearing the model down", &left))
    }

    /// Replays all steps.
    fn steps(self, model: &Model, machine: &mut Machine) -> Result<(), Halt> {
        let Self { script, backend, judge } = self;
        let rule = if backend.has_array() { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
        let mut tables = Tables::new(script);
        let mut system = System::new(model, machine, script, rule, &mut tables);
        for (index, step) in script.steps.iter().enumerate() {
            for op in &step.ops {
                system.apply(*op).map_err(|why| Halt::new(Some(index), op, &why))?;
            }
            let scope = Scope::new(script, index, backend);
            let recorded = recorded::facts(script, step, scope);
            let found = system.look(step, scope).map_err(|why| Halt::new(Some(index), &"looking", &why))?;
            judge(index, recorded.disagreements(&found));
        }
        system.leave().map_err(|why| Halt::new(None, &"removing the remaining devices", &why))
    }
}
