//! The serial port, a 16550 in memory.

use core::fmt::{self, Write};
use core::num::NonZeroUsize;

use uart_16550::backend::MmioBackend;
use uart_16550::{Config, Uart16550};

/// Its registers, one byte each, which entry code maps at their own address.
const REGISTERS: Option<NonZeroUsize> = NonZeroUsize::new(0x1000_0000);
/// The distance between two registers.
const STRIDE: u8 = 1;

/// The port.
pub(crate) struct Port(Uart16550<MmioBackend>);

impl Port {
    /// Opens the port; `None` if nothing answers there.
    ///
    /// # Safety
    ///
    /// No other code uses it.
    pub(crate) unsafe fn open() -> Option<Self> {
        // SAFETY: the board has the registers there, they are mapped, and the caller promises that no other code uses
        // them: OpenSBI has printed what it prints.
        let mut uart = unsafe { Uart16550::new_mmio_from_address(REGISTERS?, STRIDE) }.ok()?;
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
