//! Makes a fresh model on a fresh machine for a recording, and replays it step by step.
//!
//! # Invariants
//!
//! 1. After a replay without errors, the machine has all its memory back.

use sparsemem_altmap::{AltmapModel, MemmapRule};
use sparsemem_core::{BootModel, MemoryModel, PfnRange, PhysAddr, PhysRange, SectionShape};
use sparsemem_machine::{Addresses, Machine, MachineConfig};
use sparsemem_suite::Capabilities;

use super::bootmem::Register;
use super::compare::Comparison;
use super::facts::Facts;
use super::kernel::{DESCRIPTOR, Geo};
use super::recorded::{self, Scope};
use super::rules::{Refusal, Rule, Rules};
use super::script::{Op, Script, Step};
use super::system::{Refused, System, Tables};

/// The reason why a replay stopped early.
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

/// A model that was made for a replay: whatever it says of itself, and a way to register its metadata if it has one.
pub(super) struct Made<M> {
    /// The model, which is down.
    pub(super) model: Box<M>,
    /// The capabilities that it says it has.
    pub(super) can: Capabilities,
    /// Registers the metadata of boot.
    pub(super) register: Option<Register<M>>,
}

/// The listener to a replay.
pub(super) trait Judge {
    /// The result of the comparison after a step.
    fn compared(&mut self, step: usize, comparison: Comparison);
    /// A refusal that a rule predicts.
    fn refused(&mut self, rule: Rule);
}

/// Replays a recording on a model, and passes the results to `judge`.
pub(super) fn run<M: AltmapModel<Machine>>(
    script: &Script,
    mut machine: Machine,
    mut made: Made<M>,
    judge: &mut dyn Judge,
) -> Result<(), Halt> {
    if let Some(mut writer) = made.model.write() {
        writer.reserve(later(script));
    }
    steps(script, &made, judge, &mut machine)?;
    let lost = BootModel::<Machine>::tear_down(&mut *made.model, &mut machine);
    lost.map_err(|error| Halt::new(None, &"tearing the model down", &error))?;
    if machine.balance().is_zero() {
        return Ok(());
    }
    let left = format!("{:?} were not given back", machine.balance().total());
    Err(Halt::new(None, &"tearing the model down", &left))
}

/// The frames from the first to the last that steps add.
fn later(script: &Script) -> PfnRange {
    let starts = script.later.iter().map(|range| range.start());
    let (start, end) = (starts.min().unwrap_or_default(), PhysAddr::new(end_of(script)));
    PhysRange::new(start, end).map(PhysRange::whole_frames::<Geo>).unwrap_or_default()
}

/// The machine of a recording, with the addresses that it takes from all machines of the process.
pub(super) fn machine(script: &Script) -> Result<(Machine, impl Drop + use<>), Halt> {
    let window = window_bytes(script);
    let addresses = Addresses::take(end_of(script).saturating_add(window));
    let machine = Machine::new(&config(script, window));
    Ok((machine.map_err(|error| Halt::new(None, &"making a machine", &error))?, addresses))
}

/// A machine with the memory of boot. Its allocators do not have the memory that is added later.
fn config(script: &Script, window: u64) -> MachineConfig {
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
fn steps<M: AltmapModel<Machine>>(
    script: &Script,
    made: &Made<M>,
    judge: &mut dyn Judge,
    machine: &mut Machine,
) -> Result<(), Halt> {
    let Made { model, can, register } = made;
    let rule = if can.array.is_some() { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
    let mut tables = Tables::new(script);
    let system = System::new(&**model, machine, script, rule, *register, &mut tables);
    let system = system.map_err(|why| Halt::new(None, &"making memory blocks", &why))?;
    let mut replaying = Replaying { script, can, system, rules: Rules::new(script, can), judge };
    script.steps.iter().enumerate().try_for_each(|(index, step)| replaying.step(index, step))?;
    replaying.system.leave().map_err(|why| Halt::new(None, &"removing the remaining devices", &why))
}

/// A recording with the parts that its replay needs.
struct Replaying<'p, 'm, M: MemoryModel> {
    script: &'m Script,
    can: &'m Capabilities,
    system: System<'m, M>,
    rules: Rules<'m>,
    judge: &'p mut dyn Judge,
}

impl<M: AltmapModel<Machine>> Replaying<'_, '_, M> {
    /// Replays a step and compares.
    fn step(&mut self, index: usize, step: &Step) -> Result<(), Halt> {
        let scope = Scope::new(self.script, index, self.can).registered(self.system.has_registry());
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

/// The action that follows an attempt.
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

/// Decides what follows an attempt for which a rule predicted a refusal, or none did: the model has to do as predicted.
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
