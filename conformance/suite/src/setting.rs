//! The setting of a scenario: a model that is down, its world, the machine's memory, and actions that scenarios often
//! need.
//!
//! # Invariants
//!
//! 1. The model is down when a scenario begins; [`run`](crate::run) takes it down afterwards in any case.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sparsemem_core::{BootEvent, BootSummary, MemoryRange, SectionNr, SectionState};

use crate::failure::{Place, expect_eq};
use crate::plug::{Places, Plug};
use crate::{Balance, Facts, Failure, NotRun, Oracle, Subject, Tally, World};

/// The result of a boot.
#[derive(Clone, Debug, Default)]
pub struct Booted {
    /// Its summary.
    pub summary: BootSummary,
    /// The events that boot reported, in order.
    pub events: Vec<BootEvent>,
}

impl Booted {
    /// The sections that boot reported as lost.
    #[must_use]
    pub fn lost(&self) -> Vec<u64> {
        let lost = self.events.iter().filter_map(|event| match event {
            BootEvent::SectionLost { section, .. } => Some(section.get()),
            _ => None,
        });
        lost.collect()
    }

    /// The sections that boot reported as shared: section, first node, later node.
    #[must_use]
    pub fn shared(&self) -> BTreeSet<(u64, u32, u32)> {
        let shared = self.events.iter().filter_map(|event| match event {
            BootEvent::SharedSection { section, first, also } => {
                Some((section.get(), first.get(), also.get()))
            }
            _ => None,
        });
        shared.collect()
    }

    /// The frames that boot reported as beyond the maximum, with the last possible frame.
    #[must_use]
    pub fn beyond(&self) -> Vec<(u64, u64, u64)> {
        let beyond = self.events.iter().filter_map(|event| match event {
            BootEvent::BeyondMaximum { frames, last } => {
                Some((frames.start().get(), frames.end().get(), last.get()))
            }
            _ => None,
        });
        beyond.collect()
    }
}

/// A function over a plugged model and the places of its machine.
pub(crate) type PlugScenario<'p> =
    &'p mut dyn FnMut(&mut dyn Plug, &Places, &mut Notes) -> Result<(), Failure>;

/// The setting of a scenario.
pub struct Setting<'s> {
    /// The model and its world.
    pub subject: &'s mut dyn Subject,
    /// The machine's memory.
    pub memory: &'s [MemoryRange],
    /// The facts about model, world and machine.
    pub facts: Facts,
    /// Notes about the run, besides its outcome.
    pub(crate) notes: Notes,
}

/// Notes about a run, besides its outcome.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Counters of the run so far.
    pub(crate) tally: Tally,
    /// The reason why the scenario did not run, if only the boot showed it.
    pub(crate) not_run: Option<NotRun>,
}

impl Notes {
    /// Notes that the machine lacks the subject of the scenario.
    pub(crate) fn does_not_suit(&mut self, why: &str) {
        self.not_run = Some(NotRun::not_applicable(why));
    }

    /// Notes that the world cannot do what the scenario needs.
    pub(crate) fn is_skipped(&mut self, why: &str) {
        self.not_run = Some(NotRun::skipped(why));
    }
}

impl<'s> Setting<'s> {
    /// A setting in which no scenario has run yet.
    pub(crate) fn new(subject: &'s mut dyn Subject, memory: &'s [MemoryRange], facts: Facts) -> Self {
        Self { subject, memory, facts, notes: Notes::default() }
    }
}

impl Setting<'_> {
    /// The world around the model.
    #[must_use]
    pub fn world(&self) -> &dyn World {
        self.subject.world()
    }

    /// The expected state after a boot from `memory`.
    #[must_use]
    pub fn oracle(&self, memory: &[MemoryRange]) -> Oracle {
        Oracle::new(self.facts.shape, memory).with_early(self.subject.early_frames())
    }

    /// The section at which scenarios begin memory of their own: the machine's lowest one, so that a model with a bound
    /// needs no array from section 0 on; lower if there would be no room for `count` sections.
    #[must_use]
    pub fn own_sections(&self, count: u64) -> u64 {
        let starts = self.memory.iter().filter(|memory| !memory.frames.is_empty());
        let first = starts.map(|memory| self.facts.shape.section_of(memory.frames.start().get())).min();
        first.unwrap_or(0).min(self.facts.section_limit().saturating_sub(count))
    }

    /// Boots from some memory; sections may be lost.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the boot does not begin.
    pub fn boot_from(&mut self, memory: &[MemoryRange]) -> Result<Booted, Failure> {
        let mut events = Vec::new();
        match self.subject.boot(memory, &mut |event| events.push(event)) {
            Ok(summary) => Ok(Booted { summary, events }),
            Err(error) => Err(Failure::new(Place::Model, "boot", "a summary", error.to_string())),
        }
    }

    /// Boots from the machine's memory, of which no section may be lost. Returns the expected state too.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the boot does not begin or a section is lost.
    pub fn boot(&mut self) -> Result<(Oracle, Booted), Failure> {
        let memory = self.memory;
        self.boot_whole(memory)
    }

    /// Boots from some memory, of which no section may be lost.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the boot does not begin or a section is lost.
    pub fn boot_whole(&mut self, memory: &[MemoryRange]) -> Result<(Oracle, Booted), Failure> {
        let booted = self.boot_from(memory)?;
        if let Some(lost) = booted.events.iter().find_map(why_lost) {
            return Err(lost);
        }
        expect_eq(Place::Model, "sections lost", &0, &booted.summary.lost)?;
        Ok((self.oracle(memory), booted))
    }

    /// Takes the model down.
    ///
    /// # Errors
    ///
    /// [`Failure`] if blocks were refused.
    pub fn tear_down(&mut self) -> Result<(), Failure> {
        let down = self.subject.tear_down();
        down.map_err(|error| {
            Failure::new(Place::Model, "teardown", "everything given back", error.to_string())
        })
    }

    /// Takes the model down and compares the outstanding memory and the mappings with the expected ones.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the first difference.
    pub fn tear_down_to(&mut self, before: &Balance) -> Result<(), Failure> {
        self.tear_down()?;
        expect_eq(Place::Model, "outstanding after teardown", before, &self.world().balance())?;
        expect_eq(Place::Model, "first section after teardown", &None, &self.first_present())?;
        self.mappings_agree()
    }

    /// Boots from the machine's memory and lends the plugged model, with the places where memory can be added and
    /// removed.
    ///
    /// # Errors
    ///
    /// The failure of `scenario`, or that the model does not come up.
    pub(crate) fn plug(&mut self, scenario: PlugScenario<'_>) -> Result<(), Failure> {
        let (memory, memmaps) = (self.memory, self.facts.can.memmaps);
        let (oracle, _) = self.boot()?;
        match Places::new(&self.facts, &oracle, memory, self.world().spare()) {
            Ok(places) => {
                let Self { subject, notes, .. } = self;
                subject.world_mut().end_boot();
                subject.plug(memory, memmaps, &mut |plug| scenario(plug, &places, notes))
            }
            Err(reason) => {
                self.notes.not_run = Some(NotRun::NotApplicable(reason));
                Ok(())
            }
        }
    }

    /// Fails unless page tables and processor agree.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the difference.
    pub fn mappings_agree(&self) -> Result<(), Failure> {
        let agree = self.world().check();
        agree.map_err(|differs| Failure::new(Place::Model, "mappings", "as in the page tables", differs))
    }

    /// The lowest present section.
    #[must_use]
    pub fn first_present(&self) -> Option<SectionNr> {
        self.subject.next_present(SectionNr::new(0))
    }

    /// The state of a section.
    #[must_use]
    pub fn section(&self, nr: u64) -> SectionState {
        self.subject.section(SectionNr::new(nr))
    }

    /// Compares the states of sections with the expected ones.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the first that differs.
    pub fn sections_are(
        &self,
        oracle: &Oracle,
        sections: impl IntoIterator<Item = u64>,
    ) -> Result<(), Failure> {
        sections
            .into_iter()
            .try_for_each(|nr| expect_eq(Place::section(nr), "state", &oracle.state(nr), &self.section(nr)))
    }
}

/// The failure to report for a lost section, where no section may be lost.
fn why_lost(event: &BootEvent) -> Option<Failure> {
    let BootEvent::SectionLost { section, why } = event else { return None };
    Some(Failure::new(Place::Section(*section), "boot", "a section", lost_because(why)))
}

/// A reason in words.
fn lost_because(why: &sparsemem_core::SectionLoss) -> String {
    format!("a lost section: {why}")
}
