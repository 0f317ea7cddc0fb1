//! COM1: what people and the host read, and where the host answers.
//!
//! # Invariants
//!
//! 1. A line that begins with `{` is for the host; see [`event`](crate::event).

use core::fmt::{self, Write};

use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

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
pub(crate) fn write(text: fmt::Arguments<'_>) {
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
        $crate::serial::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
