//! A booted model, driven below hotplug.

use sparsemem_core::{
    FramesError, InstallError, MarkError, PfnRange, RetireError, Retired, SectionNr, SubsectionBits,
};

use crate::engine::{Act, Driver, Layout, Machines};
use crate::environment::Environment;
use crate::instance::{Instance, Model, NODE, frames};
use crate::sections::{Answer, Op, SectionRules, Verb};
use crate::view::{View, low_bits, settle};

/// An instance, changed below hotplug.
pub(crate) struct SectionMachines<'w, M>(pub(crate) Instance<'w, M>);

impl<M: Model> Machines<SectionRules> for SectionMachines<'_, M> {
    fn lend(&mut self, layout: Layout, act: Act<'_, SectionRules>) -> Result<(), String> {
        self.0.boot(layout);
        act(&mut SectionDriver(&mut self.0));
        self.0.tear_down()
    }
}

/// An instance that is booted.
pub(super) struct SectionDriver<'s, 'w, M>(pub(super) &'s mut Instance<'w, M>);

impl<M: Model> Driver<SectionRules> for SectionDriver<'_, '_, M> {
    fn apply(&mut self, op: Op) -> Answer {
        let Instance { model, environment, shape, .. } = self.0;
        let digest = environment.digest();
        environment.begin();
        let done = run(model, environment, op);
        environment.end();
        match (done, settle(model, shape)) {
            (Ok(None), fresh) => Answer::Done { fresh },
            (Ok(Some(Retired { sections, gone, lost })), 0) if lost.is_empty() => {
                Answer::Retired { sections, gone }
            }
            (Ok(Some(_)), _) => Answer::Misreported,
            (Err(answer), fresh) => {
                if environment.digest() != digest || fresh != 0 {
                    environment.complain();
                }
                answer
            }
        }
    }

    fn observe(&mut self) -> View {
        View::of(&self.0.model, &self.0.environment, &self.0.shape, &self.0.probes)
    }
}

/// Applies an operation, and returns the result of a retirement.
fn run<M: Model>(model: &M, environment: &mut Environment, op: Op) -> Result<Option<Retired>, Answer> {
    let asked = frames(op.start, op.end);
    let about = About::new::<M>(asked);
    let mut writer = model.write().ok_or(Answer::Misreported)?;
    match op.verb {
        Verb::Install => writer.install(environment, asked, NODE).map_err(|error| about.install(error))?,
        Verb::SetOnline => writer.set_online(asked).map_err(|error| about.mark(error))?,
        Verb::SetOffline => writer.set_offline(asked).map_err(|error| about.mark(error))?,
        Verb::Taint => writer.taint(asked).map_err(|error| about.mark(error))?,
        Verb::Retire => {
            return writer.retire(environment, asked).map(Some).map_err(|error| about.retire(error));
        }
    }
    Ok(None)
}

/// The operation that errors refer to.
#[derive(Clone, Copy)]
struct About {
    frames: PfnRange,
    section: SectionNr,
    /// The frames of a section.
    frames_of: fn(SectionNr) -> Option<PfnRange>,
}

impl About {
    fn new<M: Model>(frames: PfnRange) -> Self {
        let section = frames.start().section::<M::Geometry>();
        Self { frames, section, frames_of: SectionNr::frames::<M::Geometry> }
    }

    /// An answer with a set of subsections, if the error names a section and the part of the range in it.
    fn set(
        self,
        named: (PfnRange, SectionNr),
        bits: SubsectionBits,
        answer: fn(u64, u16) -> Answer,
    ) -> Answer {
        let (part, section) = named;
        let own = (self.frames_of)(section).map(|frames| frames.intersection(self.frames));
        if own == Some(part) { answer(section.get(), low_bits(&bits)) } else { Answer::Misreported }
    }

    fn frames(self, error: FramesError) -> Answer {
        let (named, answer) = match error {
            FramesError::Empty { frames } => (frames, Answer::Empty),
            FramesError::Unaligned { frames, .. } => (frames, Answer::Unaligned),
            FramesError::BeyondMaximum { frames, .. } => (frames, Answer::BeyondMaximum),
            FramesError::CrossesSection { frames, section } if section == self.section => {
                (frames, Answer::CrossesSection)
            }
            _ => return Answer::Misreported,
        };
        if named == self.frames { answer } else { Answer::Misreported }
    }

    fn install(self, error: InstallError) -> Answer {
        match error {
            InstallError::Frames(error) => self.frames(error),
            InstallError::Populated { frames, section, populated } => {
                self.set((frames, section), populated, Answer::Populated)
            }
            _ => Answer::Misreported,
        }
    }

    fn retire(self, error: RetireError) -> Answer {
        match error {
            RetireError::Frames(error) => self.frames(error),
            RetireError::Absent { frames, section, absent } => {
                self.set((frames, section), absent, Answer::Absent)
            }
            RetireError::Online { frames, section, online } => {
                self.set((frames, section), online, Answer::Online)
            }
            _ => Answer::Misreported,
        }
    }

    fn mark(self, error: MarkError) -> Answer {
        match error {
            MarkError::Frames(error) => self.frames(error),
            MarkError::Absent { frames, section, absent } => {
                self.set((frames, section), absent, Answer::Absent)
            }
            MarkError::Already { frames, section, already } => {
                self.set((frames, section), already, Answer::Already)
            }
            _ => Answer::Misreported,
        }
    }
}
