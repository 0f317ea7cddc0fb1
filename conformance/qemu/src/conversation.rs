//! A conversation with a kernel, from its first word to QEMU's end.
//!
//! # Invariants
//!
//! 1. It ends: with the kernel, or when the [`Patience`] with it does.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::QemuError;
use super::answers::answer;
use super::guest::{CommandLine, Guest};
use super::lines::Heard;
use super::machine::QemuMachine;
use super::protocol::{Ask, Event, read};
use sparsemem_report::Outcome;

/// How long is waited for a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long it may say nothing.
    silence: Duration,
    /// How long it may run.
    whole: Duration,
}

impl Patience {
    /// For the suite, where nobody looks: many times what a slow machine needs.
    pub(super) const SUITE: Self = Self { silence: Duration::from_secs(45), whole: Duration::from_secs(150) };
    /// For a person, who may have stopped the kernel in a debugger.
    pub(super) const PERSON: Self =
        Self { silence: Duration::from_secs(86_400), whole: Duration::from_secs(86_400) };
}

/// How long the monitor may take to hand over what has happened, after QEMU's end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A scenario or story, as the kernel told of it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its name.
    pub(super) scenario: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Why it did not pass.
    pub(super) detail: String,
    /// How many times something was made to refuse.
    pub(super) failure_points: u64,
    /// Time since the kernel told the one before, or came up.
    pub(super) took: Duration,
}

/// Everything that was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    /// The backend that the kernel says it has.
    pub(super) backend: Option<String>,
    /// What it ran.
    pub(super) cells: Vec<Told>,
    /// What it asked for.
    pub(super) asked: Vec<Ask>,
    /// Lines for people, and what else is worth showing.
    pub(super) lines: Vec<String>,
    /// How many cells it says have failed, at its end.
    pub(super) failed: Option<u64>,
    /// Why it could not go on.
    pub(super) panic: Option<String>,
    /// Why the conversation broke off.
    pub(super) broken: Option<String>,
    /// QEMU's exit status.
    pub(super) status: Option<i32>,
    /// The events of QEMU's monitor.
    pub(super) history: Vec<Value>,
}

impl Transcript {
    /// What was told of a scenario or story.
    pub(super) fn told(&self, name: &str) -> Option<&Told> {
        self.cells.iter().find(|told| told.scenario == name)
    }
}

/// What is heard while a conversation goes on.
pub(super) enum News<'a> {
    /// A scenario or story ended.
    Cell(&'a Told),
    /// A line for people.
    Line(&'a str),
}

/// Boots a kernel and talks to it until it ends.
///
/// # Errors
///
/// [`QemuError`] if QEMU cannot be run at all. What goes wrong later is in the transcript.
pub(super) fn talk(
    image: &Path,
    machine: &QemuMachine,
    line: &CommandLine,
    patience: Patience,
    on_news: &mut dyn FnMut(News<'_>),
) -> Result<Transcript, QemuError> {
    let mut guest = Guest::start(image, machine, line)?;
    let mut talk = Talk { transcript: Transcript::default(), since: Instant::now(), patience };
    if let Err(broken) = talk.listen(&mut guest, on_news) {
        talk.transcript.broken = Some(broken);
    } else {
        talk.finish(&mut guest)?;
    }
    Ok(talk.transcript)
}

struct Talk {
    transcript: Transcript,
    since: Instant,
    patience: Patience,
}

impl Talk {
    /// Listens and answers until the kernel has said its last word.
    fn listen(&mut self, guest: &mut Guest, on_news: &mut dyn FnMut(News<'_>)) -> Result<(), String> {
        let Patience { silence, whole } = self.patience;
        let end = Instant::now() + whole;
        loop {
            let deadline = end.min(Instant::now() + silence);
            match guest.serial.next(deadline).map_err(|error| format!("the serial line broke: {error}"))? {
                Heard::Line(line) => self.heard(&line, guest, on_news)?,
                Heard::Closed => return Ok(()),
                Heard::Nothing if Instant::now() >= end => {
                    return Err(format!("it did not end within {} s", whole.as_secs()));
                }
                Heard::Nothing => return Err(format!("it said nothing for {} s", silence.as_secs())),
            }
        }
    }

    /// Takes a line in.
    fn heard(
        &mut self,
        line: &str,
        guest: &mut Guest,
        on_news: &mut dyn FnMut(News<'_>),
    ) -> Result<(), String> {
        let wrong = |why| format!("`{line}` is no event that this host knows: {why}");
        match read(line).map_err(wrong)? {
            None => {
                on_news(News::Line(line));
                self.transcript.lines.push(line.to_owned());
            }
            Some(Event::Hello { backend }) => {
                self.transcript.backend = Some(backend);
                self.since = Instant::now();
            }
            Some(Event::Cell { scenario, outcome, detail, failure_points }) => {
                let now = Instant::now();
                let took = now.duration_since(core::mem::replace(&mut self.since, now));
                let told = Told { scenario, outcome, detail, failure_points, took };
                on_news(News::Cell(&told));
                self.transcript.cells.push(told);
            }
            Some(Event::Ask(ask)) => self.asked(ask, guest)?,
            Some(Event::End { failed }) => self.transcript.failed = Some(failed),
            Some(Event::Panic { message }) => self.transcript.panic = Some(message),
        }
        Ok(())
    }

    /// Does what the kernel asks for, and answers.
    fn asked(&mut self, ask: Ask, guest: &mut Guest) -> Result<(), String> {
        let answer = answer(&mut guest.monitor, &ask).map_err(|error| error.to_string())?;
        self.transcript.asked.push(ask);
        guest.serial.say(&answer.to_string()).map_err(|error| format!("the serial line broke: {error}"))
    }

    /// Collects what is left when the kernel has ended.
    fn finish(&mut self, guest: &mut Guest) -> Result<(), QemuError> {
        let status = guest.wait().map_err(QemuError::start)?;
        self.transcript.status = status.and_then(|status| status.code());
        if status.is_none() {
            self.transcript.broken = Some("QEMU closed the serial line and did not end".to_owned());
        }
        self.transcript.history = guest.monitor.history(Instant::now() + LAST_WORDS).to_vec();
        let said = guest.said();
        if !said.is_empty() {
            self.transcript.lines.push(format!("QEMU says: {said}"));
        }
        Ok(())
    }
}
