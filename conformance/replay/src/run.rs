//! Makes a fresh model on a fresh machine for a recording, and replays it step by step.
//!
//! # Invariants
//!
//! 1. After a replay without errors, the machine has all its memory back.

use sparsemem_altmap::MemmapRule;
use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{BootModel, SectionShape};
use sparsemem_fixture::{Backend, Fixture};
use sparsemem_machine::{Addresses, Machine, MachineConfig};

use super::compare::Comparison;
use super::facts::Facts;
use super::geometry::Replayed;
use super::kernel::Levels;
use super::kernel::{DESCRIPTOR, Geo};
use super::recorded::{self, Scope};
use super::rules::{Refusal, Rule, Rules};
use super::script::{Op, Script, Step};
use super::system::{Refused, System, Tables};

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

/// The listener to a replay.
pub(super) trait Judge {
    /// The result of the comparison after a step.
    fn compared(&mut self, step: usize, comparison: Comparison);
    /// A refusal that a rule predicts.
    fn refused(&mut self, rule: Rule);
}

/// Replays a recording on a backend, and passes the results to `judge`.
pub(super) fn run(script: &Script, backend: Backend, judge: &mut dyn Judge) -> Result<(), Halt> {
    match script.kernel.levels {
        Levels::Four => run_in::<X86_64>(script, backend, judge),
        Levels::Five => run_in::<X86_64La57>(script, backend, judge),
    }
}

/// The same with the geometry of the recorded kernel.
fn run_in<G: Replayed>(script: &Script, backend: Backend, judge: &mut dyn Judge) -> Result<(), Halt> {
    let window = if backend.has_array() { window_bytes(script) } else { 0 };
    let _addresses = Addresses::take(end_of(script).saturating_add(window));
    let fixture = G::fixture(backend, &machine(script, window));
    let Fixture { mut model, mut machine } =
        fixture.map_err(|error| Halt::new(None, &"making a machine", &error))?;
    let stopped = steps::<G>(script, backend, judge, (&model, &mut machine));
    stopped?;
    let lost = BootModel::<Machine>::tear_down(&mut model, &mut machine);
    lost.map_err(|error| Halt::new(None, &"tearing the model down", &error))?;
    if machine.balance().is_zero() {
        return Ok(());
    }
    let left = format!("{:?} were not given back", machine.balance().total());
    Err(Halt::new(None, &"tearing the model down", &left))
}

/// A machine with the memory of boot. Its allocators do not have the memory that is added later.
fn machine(script: &Script, window: u64) -> MachineConfig {
    let mut config = MachineConfig::new().vmemmap_bytes(window).depth(script.kernel.levels.depth());
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

/// Replays all steps.
fn steps<'m, G: Replayed>(
    script: &'m Script,
    backend: Backend,
    judge: &mut dyn Judge,
    (model, machine): (&'m G::Model, &'m mut Machine),
) -> Result<(), Halt> {
    let rule = if backend.has_array() { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
    let mut tables = Tables::new(script);
    let system = System::<G>::new(model, machine, script, rule, &mut tables);
    let system = system.map_err(|why| Halt::new(None, &"making memory blocks", &why))?;
    let mut replaying = Replaying { script, backend, system, rules: Rules::new(script, backend), judge };
    script.steps.iter().enumerate().try_for_each(|(index, step)| replaying.step(index, step))?;
    replaying.system.leave().map_err(|why| Halt::new(None, &"removing the remaining devices", &why))
}

/// A recording with the parts that its replay needs.
struct Replaying<'p, 'm, G: Replayed> {
    script: &'m Script,
    backend: Backend,
    system: System<'m, G>,
    rules: Rules<'m>,
    judge: &'p mut dyn Judge,
}

impl<G: Replayed> Replaying<'_, '_, G> {
    /// Replays a step and compares.
    fn step(&mut self, index: usize, step: &Step) -> Result<(), Halt> {
        let scope = Scope::new(self.script, index, self.backend);
        for op in step.ops.iter().copied() {
            self.rules.recorded(op);
            let halt = |why| Halt { step: Some(index), doing: op.to_string(), why };
            self.take(op, step, scope).map_err(halt)?;
        }
        let recorded = recorded::facts(self.script, step, scope);
        let found = self.look(step, scope).map_err(|why| Halt::new(Some(index), &"looking", &why))?;
        self.judge.compared(index, recorded.compare(&found, &self.rules.predictions(step, scope)));
        Ok(())
    }

    /// Applies an operation, and what a rule says to do instead of an operation that the model refuses.
    fn take(&mut self, op: Op, step: &Step, scope: Scope) -> Result<(), String> {
        let predicted = self.rules.refusal(op);
        let before = predicted.is_some().then(|| self.look(step, scope)).transpose()?;
        let refused = self.system.apply(op).err();
        if before.is_some() && refused.is_some() && before != Some(self.look(step, scope)?) {
            return Err("the refused operation changed something".to_owned());
        }
        match decide(predicted, refused)? {
            Next::Done => self.rules.done(op),
            Next::WithoutAltmap => {
                self.judge.refused(Rule::AltmapTooSmall);
                self.take(without_altmap(op), step, scope)?;
            }
            Next::InBasePages => {
                self.judge.refused(Rule::Unfoldable);
                self.take(in_base_pages(op), step, scope)?;
            }
            Next::Together(neighbours) => {
                self.judge.refused(Rule::AltmapStillNeeded);
                let removals = neighbours.iter().filter_map(|it| it.added()).map(Op::RemoveDevice);
                for op in removals.chain([op]).chain(neighbours.iter().copied()) {
                    self.take(op, step, scope)?;
                }
            }
        }
        Ok(())
    }

    /// The facts of the model.
    fn look(&self, step: &Step, scope: Scope) -> Result<Facts, String> {
        self.system.look(step, scope)
    }
}

/// What comes after an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The operation is done.
    Done,
    /// The same again without the altmap.
    WithoutAltmap,
    /// The same again without large pages.
    InBasePages,
    /// The same again without these neighbours, which then come back.
    Together(Vec<Op>),
}

/// What comes after an attempt for which a rule predicted a refusal, or none did: the model has to do as predicted.
fn decide(predicted: Option<Refusal>, refused: Option<Refused>) -> Result<Next, String> {
    match (predicted, refused) {
        (None, None) => Ok(Next::Done),
        (None, Some(refused)) => Err(refused.why()),
        (Some(Refusal::TooSmall), Some(Refused::TooSmall(_))) => Ok(Next::WithoutAltmap),
        (Some(Refusal::Unfoldable), Some(Refused::Unfoldable(_))) => Ok(Next::InBasePages),
        (Some(Refusal::StillNeeded(neighbours)), Some(Refused::StillNeeded(_))) => {
            Ok(Next::Together(neighbours))
        }
        (Some(predicted), refused) => {
            let did = refused.map_or("the model did it".to_owned(), |refused| refused.why());
            Err(format!("the rule `{}` predicts a refusal, but {did}", predicted.rule().name()))
        }
    }
}

/// The same addition without an altmap.
const fn without_altmap(op: Op) -> Op {
    match op {
        Op::AddDevice { frames, compound, .. } => Op::AddDevice { frames, altmap: None, compound },
        Op::AddMemory { frames, node, .. } => Op::AddMemory { frames, node, altmap: None },
        other => other,
    }
}

/// The same addition without large pages.
const fn in_base_pages(op: Op) -> Op {
    match op {
        Op::AddDevice { frames, altmap, .. } => Op::AddDevice { frames, altmap, compound: None },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_altmap::AltmapError;
    use sparsemem_core::{PageCount, Pfn, PfnRange, RetireError};
    use sparsemem_hotplug::{AddDeviceError, RemoveError, RequestError};

    use super::*;

    fn too_small() -> Refused {
        let (needed, free) = (PageCount::new(2), PageCount::new(1));
        Refused::TooSmall(AltmapError::TooSmall { request: PfnRange::default(), needed, free })
    }

    fn still_needed() -> Refused {
        let (frames, needed_by) = (PfnRange::default(), PfnRange::empty_at(Pfn::new(7)));
        Refused::StillNeeded(RemoveError::Retire {
            frames,
            why: RetireError::HoldsMemmap { frames, needed_by },
        })
    }

    fn unfoldable() -> Refused {
        let request = RequestError::Empty { frames: PfnRange::default() };
        Refused::Unfoldable(AddDeviceError::Request(request))
    }

    #[test]
    fn a_predicted_refusal_has_an_answer() {
        assert_eq!(decide(None, None), Ok(Next::Done));
        assert_eq!(decide(Some(Refusal::TooSmall), Some(too_small())), Ok(Next::WithoutAltmap));
        assert_eq!(decide(Some(Refusal::Unfoldable), Some(unfoldable())), Ok(Next::InBasePages));
        let neighbours = vec![Op::Boot];
        let needed = decide(Some(Refusal::StillNeeded(neighbours.clone())), Some(still_needed()));
        assert_eq!(needed, Ok(Next::Together(neighbours)));
    }

    #[test]
    fn a_refusal_that_no_rule_predicts_is_a_fault() {
        for refused in [too_small(), still_needed(), unfoldable(), Refused::Other("why".to_owned())] {
            assert_eq!(decide(None, Some(refused.clone())), Err(refused.why()));
        }
    }

    #[test]
    fn a_predicted_refusal_that_does_not_come_is_a_fault() {
        let said = |predicted, refused| decide(Some(predicted), refused).unwrap_err();
        let small = "the rule `altmap-too-small` predicts a refusal, but ";
        assert_eq!(said(Refusal::TooSmall, None), format!("{small}the model did it"));
        assert_eq!(said(Refusal::TooSmall, Some(still_needed())), format!("{small}{}", still_needed().why()));
        let folded = "the rule `unfoldable` predicts a refusal, but ";
        assert_eq!(said(Refusal::Unfoldable, None), format!("{folded}the model did it"));
        let needed = "the rule `altmap-still-needed` predicts a refusal, but ";
        let none = Refusal::StillNeeded(Vec::new());
        assert_eq!(said(none.clone(), None), format!("{needed}the model did it"));
        let other = Refused::Other("there is no such device".to_owned());
        assert_eq!(said(none, Some(other)), format!("{needed}there is no such device"));
    }
}
