//! A conversation with a kernel, from its first line to QEMU's end.
//!
//! # Invariants
//!
//! 1. It ends with the kernel, or when the kernel exceeds its [`Patience`].

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::QemuError;
use super::answers::answer;
use super::guest::{CommandLine, Guest};
use super::lines::Received;
use super::machine::QemuMachine;
use super::protocol::{Ask, Event, read};
use sparsemem_report::Outcome;

/// The time limits for a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The longest time without a line.
    silence: Duration,
    /// The longest time of the whole run.
    whole: Duration,
}

impl Patience {
    /// The limits for the suite, which runs without a user: many times as long as a slow machine needs.
    pub(super) const SUITE: Self = Self { silence: Duration::from_secs(45), whole: Duration::from_secs(150) };
    /// The limits for a user, who may have stopped the kernel in a debugger.
    pub(super) const PERSON: Self =
        Self { silence: Duration::from_secs(86_400), whole: Duration::from_secs(86_400) };
}

/// The time that the monitor may take to deliver past events after QEMU's end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The result of a scenario or story, as the kernel reported it.
#[derive(Clone, Debug)]
pub(super) struct CellReport {
    /// Its name.
    pub(super) scenario: String,
    /// Its outcome.
    pub(super) outcome: Outcome,
    /// The reason why it did not pass.
    pub(super) detail: String,
    /// The number of simulated failures.
    pub(super) failure_points: u64,
    /// The time since the kernel reported the previous result, or came up.
    pub(super) took: Duration,
}

/// Everything that the kernel and QEMU reported.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    /// The backend that the kernel reports.
    pub(super) backend: Option<String>,
    /// The rounds that the machine asks it for, if it does.
    pub(super) rounds: Option<usize>,
    /// The results of its scenarios and stories.
    pub(super) cells: Vec<CellReport>,
    /// Its requests.
    pub(super) asked: Vec<Ask>,
    /// Lines that are not events, and others that are worth showing.
    pub(super) lines: Vec<String>,
    /// The number of failed cells that it reports at its end.
    pub(super) failed: Option<u64>,
    /// Its panic message, if it panicked.
    pub(super) panic: Option<String>,
    /// The reason why the conversation was aborted, if it was.
    pub(super) broken: Option<String>,
    /// QEMU's exit status.
    pub(super) status: Option<i32>,
    /// The events of QEMU's monitor.
    pub(super) history: Vec<Value>,
}

impl Transcript {
    /// The result of a scenario or story.
    pub(super) fn report(&self, name: &str) -> Option<&CellReport> {
        self.cells.iter().find(|report| report.scenario == name)
    }
}

/// News during a conversation.
pub(super) enum News<'a> {
    /// A scenario or story ended.
    Cell(&'a CellReport),
    /// A line that is not an event.
    Line(&'a str),
}

/// Boots a kernel and communicates with it until it ends.
///
/// # Errors
///
/// [`QemuError`] if QEMU cannot be run at all. Later errors are in the transcript.
pub(super) fn converse(
    image: &Path,
    machine: &QemuMachine,
    line: &CommandLine,
    patience: Patience,
    on_news: &mut dyn FnMut(News<'_>),
) -> Result<Transcript, QemuError> {
    let mut guest = Guest::start(image, machine, line)?;
    let transcript = Transcript { rounds: machine.rounds(), ..Transcript::default() };
    let mut conversation = Conversation { transcript, since: Instant::now(), patience };
    if let Err(broken) = conversation.read(&mut guest, on_news) {
        conversation.transcript.broken = Some(broken);
    } else {
        conversation.finish(&mut guest)?;
    }
    Ok(conversation.transcript)
}

struct Conversation {
    transcript: Transcript,
    since: Instant,
    patience: Patience,
}

impl Conversation {
    /// Reads lines and answers requests until the kernel ends.
    fn read(&mut self, guest: &mut Guest, on_news: &mut dyn FnMut(News<'_>)) -> Result<(), String> {
        let Patience { silence, whole } = self.patience;
        let end = Instant::now() + whole;
        loop {
            let deadline = end.min(Instant::now() + silence);
            match guest.serial.next(deadline).map_err(|error| format!("the serial line broke: {error}"))? {
                Received::Line(line) => self.process(&line, guest, on_news)?,
                Received::Closed => return Ok(()),
                Received::Timeout if Instant::now() >= end => {
                    return Err(format!("it did not end within {} s", whole.as_secs()));
                }
                Received::Timeout => return Err(format!("it sent nothing for {} s", silence.as_secs())),
            }
        }
    }

    /// Processes a line.
    fn process(
        &mut self,
        line: &str,
        guest: &mut Guest,
        on_news: &mut dyn FnMut(News<'_>),
    ) -> Result<(), String> {
        let wrong = |why| format!("`{line}` is not a known event: {why}");
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
                let report = CellReport { scenario, outcome, detail, failure_points, took };
                on_news(News::Cell(&report));
                self.transcript.cells.push(report);
            }
            Some(Event::Ask(ask)) => self.asked(ask, guest)?,
            Some(Event::End { failed }) => self.transcript.failed = Some(failed),
            Some(Event::Panic { message }) => self.transcript.panic = Some(message),
        }
        Ok(())
    }

    /// Does what the kernel requests, and answers.
    fn asked(&mut self, ask: Ask, guest: &mut Guest) -> Result<(), String> {
        let answer = answer(&mut guest.monitor, &ask).map_err(|error| error.to_string())?;
        let is_gone = ask == Ask::Reset;
        self.transcript.asked.push(ask);
        if is_gone {
            return Ok(());
        }
        guest.serial.say(&answer.to_string()).map_err(|error| format!("the serial line broke: {error}"))
    }

    /// Collects the remaining data when the kernel has ended.
    fn finish(&mut self, guest: &mut Guest) -> Result<(), QemuError> {
        let status = guest.wait().map_err(QemuError::start)?;
        self.transcript.status = status.and_then(|status| status.code());
        if status.is_none() {
            self.transcript.broken = Some("QEMU closed the serial line and did not end".to_owned());
        }
        self.transcript.history = guest.monitor.history(Instant::now() + LAST_WORDS).to_vec();
        let said = guest.said();
        if !said.is_empty() {
            self.transcript.lines.push(format!("QEMU printed: {said}"));
        }
        Ok(())
    }
}
