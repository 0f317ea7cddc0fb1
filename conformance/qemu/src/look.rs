//! Booting one kernel for people: what it prints is shown as it comes.

use super::conversation::{News, Patience, talk};
use super::guest::CommandLine;
use super::image::Images;
use super::machine::{MACHINES, QemuMachine};
use super::stories::{self, STORIES, Story};
use super::{QemuError, machine, tool, verdict};
use sparsemem_any::Backend;
use sparsemem_report::Outcome;

/// What to boot, and what it is to do.
#[derive(Clone, Debug)]
pub struct Look {
    /// The model that the kernel is built with.
    pub backend: Backend,
    /// The name of the machine; the one that suits what is run if there is none.
    pub machine: Option<String>,
    /// What the kernel runs: `look`, `scenarios`, or the name of a story.
    pub run: String,
    /// Arguments for QEMU, behind those of the machine.
    pub args: Vec<String>,
}

impl Look {
    /// Builds the kernel, boots it, and hands every line for people to `show`. Gives how it ended, with why it failed.
    ///
    /// # Errors
    ///
    /// [`QemuError`] if QEMU is not there, the kernel cannot be built, or the machine does not exist.
    pub fn run(&self, show: &mut dyn FnMut(&str)) -> Result<(Outcome, String), QemuError> {
        let machine = self.machine()?;
        tool::check()?;
        let images = Images::new()?;
        images.build(self.backend)?;
        let line = CommandLine { args: self.args.clone(), ..CommandLine::run(&self.run) };
        let transcript =
            talk(&images.of(self.backend), machine, &line, Patience::PERSON, &mut |news| match news {
                News::Line(line) => show(line),
                News::Cell(told) if told.detail.is_empty() => {
                    show(&format!("{}: {}", told.scenario, told.outcome));
                }
                News::Cell(told) => show(&format!("{}: {}: {}", told.scenario, told.outcome, told.detail)),
            })?;
        if let Some(message) = &transcript.panic {
            show(message);
        }
        Ok(match self.story() {
            Some(story) => verdict::of_story(&transcript, story, self.backend),
            None => verdict::of_boot(&transcript, self.backend),
        })
    }

    /// The story that is run, if it is one.
    fn story(&self) -> Option<&'static Story> {
        stories::find(&self.run)
    }

    /// The machine: the one that was named, or else the story's, or one with slots for DIMMs.
    fn machine(&self) -> Result<&'static QemuMachine, QemuError> {
        let Some(name) = &self.machine else {
            return Ok(self.story().map_or(&machine::DIMMS_2_NODES, |story| story.machine));
        };
        let all = MACHINES.iter().chain(STORIES.iter().map(|story| story.machine));
        let mut found = all.filter(|machine| machine.name == name);
        found.next().ok_or_else(|| QemuError::NoSuchMachine { name: name.clone() })
    }
}
