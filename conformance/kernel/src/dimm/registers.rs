//! The registers, one port access each.

use x86_64::instructions::port::Port;

/// There is a DIMM in the slot.
pub(super) const ENABLED: u8 = 1 << 0;
/// It came, and nobody took notice yet. Written: somebody did.
pub(super) const INSERTING: u8 = 1 << 1;
/// It is to go, and nobody took notice yet. Written: somebody did.
pub(super) const REMOVING: u8 = 1 << 2;
/// Written: the DIMM goes, now.
pub(super) const EJECT: u8 = 1 << 3;

/// A port of four bytes. What it means depends on the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Word {
    /// Read: low half of the base address. Written: the slot that all other registers are about.
    Base = 0xa00,
    /// Read: high half of the base address. Written: the event that the next status is about.
    BaseHigh = 0xa04,
    /// Read: low half of the size. Written: the status of the event, which the host is told.
    Size = 0xa08,
    /// Read: high half of the size.
    SizeHigh = 0xa0c,
    /// Read: the proximity domain.
    Domain = 0xa10,
}

/// The port of one byte with the bits above.
const CONTROL: u16 = 0xa14;

/// The registers of the selected slot.
#[derive(Debug)]
pub(super) struct Registers(());

impl Registers {
    /// The registers, which QEMU has at the same place on all its PCs.
    ///
    /// # Safety
    ///
    /// Nobody else uses the ports `0xa00` to `0xa17` as long as this is there.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }

    /// Reads a word.
    pub(super) fn read(&mut self, word: Word) -> u32 {
        // SAFETY: the port is this one's alone (`new`), and reading it changes nothing.
        unsafe { Port::new(word as u16).read() }
    }

    /// Writes a word.
    pub(super) fn write(&mut self, word: Word, value: u32) {
        // SAFETY: the port is this one's alone (`new`); writing words selects and reports, and touches no memory.
        unsafe { Port::new(word as u16).write(value) }
    }

    /// Reads the control register.
    pub(super) fn control(&mut self) -> u8 {
        // SAFETY: the port is this one's alone (`new`), and reading it changes nothing.
        unsafe { Port::new(CONTROL).read() }
    }

    /// Writes one bit of the control register.
    ///
    /// # Safety
    ///
    /// With [`EJECT`], nothing uses the memory of the selected slot any more.
    pub(super) unsafe fn set_control(&mut self, bit: u8) {
        // SAFETY: the port is this one's alone (`new`); of its bits only that of the eject touches memory, which the
        // caller answers for.
        unsafe { Port::new(CONTROL).write(bit) }
    }
}
