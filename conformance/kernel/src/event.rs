//! What the host is told: a line of JSON per event. The README of this folder has the protocol.
//!
//! # Invariants
//!
//! 1. No heap is needed: a panic can be told at any time.

use core::fmt::Arguments;

use serde::{Serialize, Serializer};

use crate::serial;

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Everything was as expected.
    Passed,
    /// Something was not.
    Failed,
    /// It could have been run, and was not.
    Skipped,
    /// It is about something that the model or the machine does not have.
    NotApplicable,
}

/// Something that the host is told. Words are written into the line as they are formatted.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// The first: who is speaking.
    Hello { backend: &'a str, depth: u32, geometry: &'a str },
    /// A scenario ended.
    Cell {
        scenario: &'a str,
        machine: &'a str,
        outcome: Outcome,
        #[serde(serialize_with = "words")]
        detail: Arguments<'a>,
        failure_points: u64,
    },
    /// The kernel cannot go on.
    Panic {
        #[serde(serialize_with = "words")]
        message: Arguments<'a>,
    },
    /// The last.
    End { failed: u64 },
}

/// Serializes words.
fn words<S: Serializer>(words: &Arguments<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(words)
}

/// Bytes of the longest line.
const LINE: usize = 4096;

/// Tells an event.
pub(crate) fn tell(event: Event<'_>) {
    let mut line = [0; LINE];
    let written = serde_json_core::to_slice(&event, &mut line).ok();
    match written.and_then(|len| str::from_utf8(line.get(..len)?).ok()) {
        Some(line) => serial::write(format_args!("{line}\n")),
        // The words are too long for the line: they are for people then.
        None => tell(shortened(event)),
    }
}

/// The same event without its words.
fn shortened(event: Event<'_>) -> Event<'_> {
    let no_words = format_args!("the words do not fit the line");
    match event {
        Event::Cell { scenario, machine, outcome, detail, failure_points } => {
            serial::write(format_args!("{detail}\n"));
            Event::Cell { scenario, machine, outcome, detail: no_words, failure_points }
        }
        Event::Panic { message } => {
            serial::write(format_args!("{message}\n"));
            Event::Panic { message: no_words }
        }
        Event::Hello { .. } | Event::End { .. } => Event::End { failed: u64::MAX },
    }
}
