//! DIMMs that come and go: QEMU's memory hot-plug registers.
//!
//! The registers are what the ACPI tables' bytecode works with; a kernel without an interpreter can use them itself. A
//! slot that changed says so in a bit until the kernel clears it, so nothing is lost by looking now and then.
//!
//! Source: QEMU `docs/specs/acpi_mem_hotplug.rst`.
//!
//! # Invariants
//!
//! 1. There is one [`Slots`]: selecting a slot and reading its registers are two accesses, which nobody comes between.
//! 2. One write to the control register does one thing: the device looks at the first bit that it knows.

use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};
use x86_64::instructions::port::Port;

/// Slots that QEMU can have.
const MOST: u32 = 256;

/// ACPI's number for an eject that was asked for, in `_OST`.
pub(crate) const EJECT_REQUEST: u32 = 3;
/// ACPI's number for "not now, the device is in use", in `_OST`.
pub(crate) const IN_USE: u32 = 0x82;

/// There is a DIMM in the slot.
const ENABLED: u8 = 1 << 0;
/// It came, and nobody took notice yet. Written: somebody did.
const INSERTING: u8 = 1 << 1;
/// It is to go, and nobody took notice yet. Written: somebody did.
const REMOVING: u8 = 1 << 2;
/// Written: the DIMM goes, now.
const EJECT: u8 = 1 << 3;

/// A port of four bytes. What it means depends on the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
enum Word {
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
struct Registers(());

impl Registers {
    /// The registers, which QEMU has at the same place on all its PCs.
    ///
    /// # Safety
    ///
    /// Nobody else uses the ports `0xa00` to `0xa17` as long as this is there.
    const unsafe fn new() -> Self {
        Self(())
    }

    /// Reads a word.
    fn read(&mut self, word: Word) -> u32 {
        // SAFETY: the port is this one's alone (`new`), and reading it changes nothing.
        unsafe { Port::new(word as u16).read() }
    }

    /// Writes a word.
    fn write(&mut self, word: Word, value: u32) {
        // SAFETY: the port is this one's alone (`new`); writing words selects and reports, and touches no memory.
        unsafe { Port::new(word as u16).write(value) }
    }

    /// Reads the control register.
    fn control(&mut self) -> u8 {
        // SAFETY: the port is this one's alone (`new`), and reading it changes nothing.
        unsafe { Port::new(CONTROL).read() }
    }

    /// Writes one bit of the control register.
    ///
    /// # Safety
    ///
    /// With [`EJECT`], nothing uses the memory of the selected slot any more.
    unsafe fn set_control(&mut self, bit: u8) {
        // SAFETY: the port is this one's alone (`new`); of its bits only that of the eject touches memory, which the
        // caller answers for.
        unsafe { Port::new(CONTROL).write(bit) }
    }
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimm {
    /// The slot.
    pub(crate) slot: u32,
    /// Its memory.
    pub(crate) range: PhysRange,
    /// Its node.
    pub(crate) node: NodeId,
}

/// Something that the kernel has to take notice of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A DIMM came.
    Came(Dimm),
    /// The host wants one back.
    Wanted(Dimm),
}

/// What is wrong with the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SlotError {
    /// The machine has none.
    #[error("the machine has no slots for DIMMs; start QEMU with `-m SIZE,slots=N,maxmem=SIZE`")]
    Absent,
    /// The registers make no range.
    #[error("slot {slot} says that it has {len} from {start}, which is no range of addresses")]
    Nonsense {
        /// The slot.
        slot: u32,
        /// What it says is its base.
        start: PhysAddr,
        /// What it says is its size.
        len: ByteLen,
    },
    /// The host did not change anything.
    #[error("nothing changed in any slot, although the host says that it did")]
    Unchanged,
}

/// The slots of the machine.
#[derive(Debug)]
pub(crate) struct Slots(Registers);

impl Slots {
    /// Takes charge of the slots.
    ///
    /// # Safety
    ///
    /// The machine is one of QEMU's PCs, where nothing but the slots answers at the ports `0xa00` to `0xa17`, and nobody
    /// else uses these as long as this is there.
    pub(crate) const unsafe fn new() -> Self {
        // SAFETY: the caller's promise is the same.
        Self(unsafe { Registers::new() })
    }

    /// The first change that nobody took notice of, if there is one. It is told until it is acknowledged.
    ///
    /// # Errors
    ///
    /// [`SlotError`].
    pub(crate) fn change(&mut self) -> Result<Option<Change>, SlotError> {
        for slot in 0..MOST {
            let flags = self.select(slot).control();
            // Where no device answers, all bits are set, also those that no slot ever has.
            if flags == u8::MAX {
                return Err(SlotError::Absent);
            }
            if flags & ENABLED == 0 {
                continue;
            }
            // What is to go first, and has not even been seen to come, has come first.
            if flags & INSERTING != 0 {
                return self.dimm(slot).map(Change::Came).map(Some);
            }
            if flags & REMOVING != 0 {
                return self.dimm(slot).map(Change::Wanted).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether there is a DIMM in a slot.
    pub(crate) fn is_used(&mut self, slot: u32) -> bool {
        self.select(slot).control() & ENABLED != 0
    }

    /// Takes notice of a change.
    pub(crate) fn acknowledge(&mut self, change: &Change) {
        let (dimm, bit) = match change {
            Change::Came(dimm) => (dimm, INSERTING),
            Change::Wanted(dimm) => (dimm, REMOVING),
        };
        // SAFETY: the bit is not that of the eject.
        unsafe { self.select(dimm.slot).set_control(bit) };
    }

    /// Tells the host that a DIMM cannot go, because it is in use.
    pub(crate) fn refuse(&mut self, dimm: &Dimm) {
        let registers = self.select(dimm.slot);
        registers.write(Word::BaseHigh, EJECT_REQUEST);
        registers.write(Word::Size, IN_USE);
    }

    /// Lets a DIMM go. Its slot is free afterwards.
    ///
    /// # Safety
    ///
    /// Nothing uses the memory of the DIMM any more, and nothing will.
    pub(crate) unsafe fn eject(&mut self, dimm: &Dimm) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.select(dimm.slot).set_control(EJECT) };
    }

    /// Makes a slot the one that the registers are about.
    fn select(&mut self, slot: u32) -> &mut Registers {
        self.0.write(Word::Base, slot);
        &mut self.0
    }

    /// What is in a slot that is not empty.
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
