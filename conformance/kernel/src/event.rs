//! The serial port: plain text, and events for the host, one line of JSON each. The README of this folder describes
//! the protocol.
//!
//! # Invariants
//!
//! 1. No heap is needed, so that a panic can be reported at any time.
//! 2. A line that begins with `{` is for the host.

use core::fmt::{Arguments, Write};
use core::hint::spin_loop;

use serde::{Serialize, Serializer};
use spin::Mutex;

use crate::arch::serial::Port;

/// The outcome of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// All expectations were met.
    Passed,
    /// An expectation was not met.
    Failed,
    /// The scenario could have been run, and was not.
    Skipped,
    /// The model or the machine lacks the subject of the scenario.
    NotApplicable,
}

/// An event for the host. Texts are written into the line as they are formatted.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// The first event, with the kernel's configuration.
    Hello { backend: &'a str, depth: u32, geometry: &'a str },
    /// A scenario has ended.
    Cell {
        scenario: &'a str,
        machine: &'a str,
        outcome: Outcome,
        #[serde(serialize_with = "words")]
        detail: Arguments<'a>,
        failure_points: u64,
    },
    /// The kernel panicked.
    Panic {
        #[serde(serialize_with = "words")]
        message: Arguments<'a>,
    },
    /// The last event.
    End { failed: u64 },
}

/// Serializes a text.
fn words<S: Serializer>(words: &Arguments<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(words)
}

/// Bytes of the longest line.
const LINE: usize = 4096;

/// Sends an event.
pub(crate) fn send(event: Event<'_>) {
    let mut line = [0; LINE];
    let written = serde_json_core::to_slice(&event, &mut line).ok();
    match written.and_then(|len| str::from_utf8(line.get(..len)?).ok()) {
        Some(line) => write(format_args!("{line}\n")),
        // The text is too long for the line, so it is sent as plain text instead.
        None => send(shortened(event)),
    }
}

/// The same event without its text.
fn shortened(event: Event<'_>) -> Event<'_> {
    let no_words = format_args!("the words do not fit the line");
    match event {
        Event::Cell { scenario, machine, outcome, detail, failure_points } => {
            write(format_args!("{detail}\n"));
            Event::Cell { scenario, machine, outcome, detail: no_words, failure_points }
        }
        Event::Panic { message } => {
            write(format_args!("{message}\n"));
            Event::Panic { message: no_words }
        }
        Event::Hello { .. } | Event::End { .. } => Event::End { failed: u64::MAX },
    }
}

/// The port, after its first use.
static SERIAL: Mutex<Option<Port>> = Mutex::new(None);

/// Calls `what` with the port.
fn with<T>(what: impl FnOnce(&mut Port) -> T) -> Option<T> {
    let mut serial = SERIAL.lock();
    if serial.is_none() {
        // SAFETY: only `SERIAL` opens the port.
        *serial = unsafe { Port::open() };
    }
    serial.as_mut().map(what)
}

/// Writes; an error cannot be reported.
pub(crate) fn write(text: Arguments<'_>) {
    let _ = with(|port| port.write_fmt(text));
}

/// Lets a panic write although other code was writing: another processor gets time to end its line, the code that has
/// panicked does not go on.
pub(crate) fn break_lock() {
    /// Turns of a loop that are enough for a line.
    const A_LINE: u32 = 10_000_000;
    for _ in 0..A_LINE {
        if !SERIAL.is_locked() {
            return;
        }
        spin_loop();
    }
    // SAFETY: only a panic calls this, and the code that has the lock does not go on.
    unsafe { SERIAL.force_unlock() };
}

/// The next byte from the host, if one has arrived.
pub(crate) fn read_byte() -> Option<u8> {
    with(Port::read_byte).flatten()
}

/// Writes a line of plain text.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        $crate::event::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
