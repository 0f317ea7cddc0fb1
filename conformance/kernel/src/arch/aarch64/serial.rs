//! The serial port, a PL011.

use core::fmt::{self, Write};
use core::ptr::{NonNull, with_exposed_provenance_mut};

use arm_pl011_uart::{DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer};

/// Its registers, which entry code maps at their own address.
const REGISTERS: usize = 0x0900_0000;
/// The board's clock for it.
const CLOCK_HZ: u32 = 24_000_000;
const BAUD: u32 = 115_200;

/// The port.
pub(crate) struct Port(Uart<'static>);

impl Port {
    /// Opens the port; `None` if it cannot be set up.
    ///
    /// # Safety
    ///
    /// No other code uses it.
    pub(crate) unsafe fn open() -> Option<Self> {
        let registers = NonNull::new(with_exposed_provenance_mut::<PL011Registers>(REGISTERS))?;
        // SAFETY: the board has the registers there, they are mapped, and the caller promises that no other code uses
        // them.
        let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
        let line = LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
        uart.enable(line, BAUD, CLOCK_HZ).ok()?;
        Some(Self(uart))
    }

    /// The next byte, if one has arrived.
    pub(crate) fn read_byte(&mut self) -> Option<u8> {
        self.0.read_word().ok().flatten()
    }
}

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(text)
    }
}
