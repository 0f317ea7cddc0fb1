//! Plugged DIMMs: QEMU's memory hot-plug registers.
//!
//! The bytecode of the ACPI tables uses these registers; a kernel without an interpreter can use them directly. A
//! slot that changed has a bit set until the kernel clears it, so polling loses no change.
//!
//! Source: QEMU `docs/specs/acpi_mem_hotplug.rst`.
//!
//! # Invariants
//!
//! 1. There is one [`Slots`]: selecting a slot and reading its registers are two accesses, and no other code accesses
//!    the registers between them.
//! 2. One write to the control register has one effect: the device uses the first bit that it knows.

use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};

use crate::arch::hotplug;

/// The largest number of slots of QEMU.
const MOST: u32 = 256;

/// ACPI's code for a requested eject, in `_OST`.
pub(crate) const EJECT_REQUEST: u32 = 3;
/// ACPI's code for "the device is in use", in `_OST`.
pub(crate) const IN_USE: u32 = 0x82;

/// The slot contains a DIMM.
const ENABLED: u8 = 1 << 0;
/// A DIMM was inserted and not acknowledged yet. Writing the bit acknowledges it.
const INSERTING: u8 = 1 << 1;
/// The host wants the DIMM back, and this was not acknowledged yet. Writing the bit acknowledges it.
const REMOVING: u8 = 1 << 2;
/// Writing the bit ejects the DIMM.
const EJECT: u8 = 1 << 3;

/// The offset of a register of four bytes. Its meaning differs between reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
enum Word {
    /// Read: low half of the base address. Written: the slot that all other registers refer to.
    Base = 0x00,
    /// Read: high half of the base address. Written: the event that the next status refers to.
    BaseHigh = 0x04,
    /// Read: low half of the size. Written: the status of the event, for the host.
    Size = 0x08,
    /// Read: high half of the size.
    SizeHigh = 0x0c,
    /// Read: the proximity domain.
    Domain = 0x10,
}

/// The offset of the register of one byte with the bits above.
pub(crate) const CONTROL: u16 = 0x14;

/// The registers of the selected slot.
#[derive(Debug)]
struct Registers(());

impl Registers {
    /// The registers, which QEMU has at the same place on all boards of a kind.
    ///
    /// # Safety
    ///
    /// The board is one of those, and no other code uses the registers as long as this exists.
    const unsafe fn new() -> Self {
        Self(())
    }

    /// Reads a word.
    fn read(&mut self, word: Word) -> u32 {
        // SAFETY: only this value uses the registers (`new`).
        unsafe { hotplug::read_word(word as u16) }
    }

    /// Writes a word.
    fn write(&mut self, word: Word, value: u32) {
        // SAFETY: only this value uses the registers (`new`); writing words selects and reports, and accesses no memory.
        unsafe { hotplug::write_word(word as u16, value) }
    }

    /// Reads the control register.
    fn control(&mut self) -> u8 {
        // SAFETY: only this value uses the registers (`new`).
        unsafe { hotplug::read_byte(CONTROL) }
    }

    /// Writes one bit of the control register.
    ///
    /// # Safety
    ///
    /// With [`EJECT`], nothing uses the memory of the selected slot any more.
    unsafe fn set_control(&mut self, bit: u8) {
        // SAFETY: only this value uses the registers (`new`); of the bits only that of the eject affects memory, and the
        // caller promises that nothing uses that memory.
        unsafe { hotplug::write_byte(CONTROL, bit) }
    }
}

/// The DIMM in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimm {
    /// The slot.
    pub(crate) slot: u32,
    /// Its memory.
    pub(crate) range: PhysRange,
    /// Its node.
    pub(crate) node: NodeId,
}

/// A change that the kernel has to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A DIMM was inserted.
    Came(Dimm),
    /// The host wants a DIMM back.
    Wanted(Dimm),
}

/// An error of the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SlotError {
    /// The machine has no slots.
    #[error("the machine has no slots for DIMMs; start QEMU with `-m SIZE,slots=N,maxmem=SIZE`")]
    Absent,
    /// The registers do not describe a range.
    #[error("slot {slot} reports {len} from {start}, which is not a range of addresses")]
    Nonsense {
        /// The slot.
        slot: u32,
        /// The base that it reports.
        start: PhysAddr,
        /// The size that it reports.
        len: ByteLen,
    },
    /// No slot changed.
    #[error("no slot has changed, although the host reports a change")]
    Unchanged,
}

/// The slots of the machine.
#[derive(Debug)]
pub(crate) struct Slots(Registers);

impl Slots {
    /// The slots of the machine.
    ///
    /// # Safety
    ///
    /// The machine is one of QEMU's boards, where nothing but the slots answers at the place of the registers, and no
    /// other code uses these as long as this exists.
    pub(crate) const unsafe fn new() -> Self {
        // SAFETY: the caller's promise is the same.
        Self(unsafe { Registers::new() })
    }

    /// The first change that was not acknowledged, if there is one. It is returned until it is acknowledged.
    ///
    /// # Errors
    ///
    /// [`SlotError`].
    pub(crate) fn change(&mut self) -> Result<Option<Change>, SlotError> {
        for slot in 0..MOST {
            let flags = self.select(slot).control();
            // Where no device answers, all bits are set, including bits that no slot ever sets.
            if flags == u8::MAX {
                return Err(SlotError::Absent);
            }
            if flags & ENABLED == 0 {
                continue;
            }
            // If the insertion of a DIMM that the host wants back was not acknowledged, the insertion comes first.
            if flags & INSERTING != 0 {
                return self.dimm(slot).map(Change::Came).map(Some);
            }
            if flags & REMOVING != 0 {
                return self.dimm(slot).map(Change::Wanted).map(Some);
            }
        }
        Ok(None)
    }

    /// True if a slot contains a DIMM.
    pub(crate) fn is_used(&mut self, slot: u32) -> bool {
        self.select(slot).control() & ENABLED != 0
    }

    /// Acknowledges a change.
    pub(crate) fn acknowledge(&mut self, change: &Change) {
        let (dimm, bit) = match change {
            Change::Came(dimm) => (dimm, INSERTING),
            Change::Wanted(dimm) => (dimm, REMOVING),
        };
        // SAFETY: the bit is not that of the eject.
        unsafe { self.select(dimm.slot).set_control(bit) };
    }

    /// Reports to the host that a DIMM cannot be ejected, because it is in use.
    pub(crate) fn refuse(&mut self, dimm: &Dimm) {
        let registers = self.select(dimm.slot);
        registers.write(Word::BaseHigh, EJECT_REQUEST);
        registers.write(Word::Size, IN_USE);
    }

    /// Ejects a DIMM. Its slot is free afterwards.
    ///
    /// # Safety
    ///
    /// Nothing uses the memory of the DIMM any more, and nothing will.
    pub(crate) unsafe fn eject(&mut self, dimm: &Dimm) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.select(dimm.slot).set_control(EJECT) };
    }

    /// Selects the slot that the registers refer to.
    fn select(&mut self, slot: u32) -> &mut Registers {
        self.0.write(Word::Base, slot);
        &mut self.0
    }

    /// The DIMM in a slot that is not empty.
    fn dimm(&mut self, slot: u32) -> Result<Dimm, SlotError> {
        let registers = self.select(slot);
        let start = PhysAddr::new(joined(registers.read(Word::Base), registers.read(Word::BaseHigh)));
        let len = ByteLen::new(joined(registers.read(Word::Size), registers.read(Word::SizeHigh)));
        let node = NodeId::new(registers.read(Word::Domain));
        let range = PhysRange::from_start_count(start, len).filter(|range| !range.is_empty());
        let range = range.ok_or(SlotError::Nonsense { slot, start, len })?;
        Ok(Dimm { slot, range, node })
    }
}

/// A word of two halves.
fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
