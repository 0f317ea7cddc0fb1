//! The serial port: lines for people, and what the host is told, a line of JSON per event. The README of this folder has
//! the protocol.
//!
//! # Invariants
//!
//! 1. No heap is needed: a panic can be told at any time.
//! 2. A line that begins with `{` is for the host.

use core::fmt::{self, Arguments, Write};

use serde::{Serialize, Serializer};
use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

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
        Some(line) => write(format_args!("{line}\n")),
        // The words are too long for the line: they are for people then.
        None => tell(shortened(event)),
    }
}

/// The same event without its words.
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

/// Where the first serial port is on every PC.
const COM1: u16 = 0x3f8;

/// The port, once it was used.
static SERIAL: Mutex<Option<Port>> = Mutex::new(None);

/// The port.
struct Port(Uart16550<PioBackend>);

impl Port {
    /// Opens COM1; `None` if nothing answers there.
    fn open() -> Option<Self> {
        // SAFETY: COM1's ports belong to no one else in this kernel: only `SERIAL` opens them.
        let mut uart = unsafe { Uart16550::new_port(COM1) }.ok()?;
        uart.init(Config::default()).ok()?;
        Some(Self(uart))
    }
}

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_bytes_exact(text.as_bytes());
        Ok(())
    }
}

/// Does something with the port.
fn with<T>(what: impl FnOnce(&mut Port) -> T) -> Option<T> {
    let mut serial = SERIAL.lock();
    if serial.is_none() {
        *serial = Port::open();
    }
    serial.as_mut().map(what)
}

/// Writes; nobody can be told if that does not work.
pub(crate) fn write(text: Arguments<'_>) {
    let _ = with(|port| port.write_fmt(text));
}

/// Lets a panic write although something else was writing.
pub(crate) fn break_lock() {
    // SAFETY: called by a panic only, after which nothing else of this kernel runs.
    unsafe { SERIAL.force_unlock() };
}

/// The next byte from the host, if one has come.
pub(crate) fn read_byte() -> Option<u8> {
    with(|port| port.0.try_receive_byte().ok()).flatten()
}

/// Writes a line for people.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        $crate::event::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
