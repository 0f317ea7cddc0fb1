//! The first serial port.

use core::fmt::{self, Write};

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

/// Its address, which is the same on every PC.
const COM1: u16 = 0x3f8;

/// The port.
pub(crate) struct Port(Uart16550<PioBackend>);

impl Port {
    /// Opens the port; `None` if nothing answers there.
    ///
    /// # Safety
    ///
    /// No other code uses it.
    pub(crate) unsafe fn open() -> Option<Self> {
        // SAFETY: the caller's promise.
        let mut uart = unsafe { Uart16550::new_port(COM1) }.ok()?;
        uart.init(Config::default()).ok()?;
        Some(Self(uart))
    }

    /// The next byte, if one has arrived.
    pub(crate) fn read_byte(&mut self) -> Option<u8> {
        self.0.try_receive_byte().ok()
    }
}

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_bytes_exact(text.as_bytes());
        Ok(())
    }
}
