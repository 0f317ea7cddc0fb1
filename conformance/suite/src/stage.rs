//! Where a scenario plays: a model that is down, its world, the machine's memory, and what a scenario does often.
//!
//! # Invariants
//!
//! 1. The model is down when a scenario begins; the runner takes it down afterwards, whatever happened.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sparsemem_core::{BootEvent, BootSummary, MemoryRange, SectionNr, SectionState};

use crate::failure::{Place, expect_eq};
use crate::plug::{Plug, Site};
use crate::{Balance, Facts, Failure, Oracle, Reason, Subject, Tally, World};

/// What a boot did and told.
#[derive(Clone, Debug, Default)]
pub struct Booted {
    /// Its summary.
    pub summary: BootSummary,
    /// What it told, in order.
    pub events: Vec<BootEvent>,
}

impl Booted {
    /// The sections that were told to be lost.
    #[must_use]
    pub fn lost(&self) -> Vec<u64> {
        let lost = self.events.iter().filter_map(|event| match event {
            BootEvent::SectionLost { section, .. } => Some(section.get()),
            _ => None,
        });
        lost.collect()
    }

    /// The sections that were told to be shared: section, first node, later node.
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

    /// The frames that were told to lie beyond the maximum, with the last possible frame.
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

/// What is done with a plugged model, at the places of its machine.
pub(crate) type Plugging<'p> = &'p mut dyn FnMut(&mut dyn Plug, &Site, &mut Notes) -> Result<(), Failure>;

/// Where a scenario plays.
pub struct Stage<'s> {
    /// The model and its world.
    pub subject: &'s mut dyn Subject,
    /// The machine's memory.
    pub memory: &'s [MemoryRange],
    /// What is known of all of them.
    pub facts: Facts,
    /// What is said of the play besides its outcome.
    pub(crate) notes: Notes,
}

/// What is said of a play besides its outcome.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// What was done so far.
    pub(crate) tally: Tally,
    /// What the scenario is about and the machine does not have, if that showed only after boot.
    pub(crate) missing: Option<Reason>,
}

impl Notes {
    /// The machine has not what the scenario is about.
    pub(crate) fn does_not_suit(&mut self, why: &str) {
        self.missing = Some(Reason::new(why));
    }
}

impl<'s> Stage<'s> {
    /// A stage on which nothing was played yet.
    pub(crate) fn new(subject: &'s mut dyn Subject, memory: &'s [MemoryRange], facts: Facts) -> Self {
        Self { subject, memory, facts, notes: Notes::default() }
    }
}

impl Stage<'_> {
    /// The world around the model.
    #[must_use]
    pub fn world(&self) -> &dyn World {
        self.subject.world()
    }

    /// What a boot from `memory` has to give.
    #[must_use]
    pub fn oracle(&self, memory: &[MemoryRange]) -> Oracle {
        Oracle::new(self.facts.shape, memory)
    }

    /// Boots from some memory, whatever becomes of the sections.
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

    /// Boots from the machine's memory, of which no section may be lost, and says what has to have come of it.
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

    /// Takes the model down and compares what is outstanding, and the mappings, with what has to be.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what is not as it should be.
    pub fn tear_down_to(&mut self, before: &Balance) -> Result<(), Failure> {
        self.tear_down()?;
        expect_eq(Place::Model, "outstanding after teardown", before, &self.world().balance())?;
        expect_eq(Place::Model, "first section after teardown", &None, &self.first_present())?;
        self.mappings_agree()
    }

    /// Boots from the machine's memory and lends the model, plugged, with the places where something can come and go.
    ///
    /// # Errors
    ///
    /// What `play` says, or that the model does not come up.
    pub(crate) fn plug(&mut self, play: Plugging<'_>) -> Result<(), Failure> {
        let (memory, rule) = (self.memory, self.facts.memmap_rule());
        let (oracle, _) = self.boot()?;
        match Site::new(&self.facts, &oracle, memory, self.world().spare()) {
            Ok(site) => {
                let Self { subject, notes, .. } = self;
                subject.world_mut().end_boot();
                subject.plug(memory, rule, &mut |plug| play(plug, &site, notes))
            }
            Err(reason) => {
                self.notes.missing = Some(reason);
                Ok(())
            }
        }
    }

    /// Fails unless page tables and processor agree.
    ///
    /// # Errors
    ///
    /// [`Failure`] with what differs.
    pub fn mappings_agree(&self) -> Result<(), Failure> {
        let agree = self.world().check();
        agree.map_err(|differs| Failure::new(Place::Model, "mappings", "what the page tables say", differs))
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

    /// Compares the states of sections with what has to be.
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

/// The failure that a lost section is, where none may be.
fn why_lost(event: &BootEvent) -> Option<Failure> {
    let BootEvent::SectionLost { section, why } = event else { return None };
    Some(Failure::new(Place::Section(*section), "boot", "a section", lost_because(why)))
}

/// A reason in words.
fn lost_because(why: &sparsemem_core::SectionLoss) -> String {
    format!("it lost: {why}")
}
