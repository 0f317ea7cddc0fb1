//! Finds ACPI tables by name, and reads two of them: the NFIT describes persistent memory, and the MADT lists processors. The
//! SRAT is read by `sparsemem-boot-maps`.
//!
//! Source: ACPI 6, "Root System Description Pointer", "System Description Table Header", "System Physical Address Range
//! Structure", "Processor Local APIC Structure".

use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};

use super::start_info::Bytes;
use crate::processors::HardwareId;

/// Bytes of the header of every table.
const HEADER: u64 = 36;
/// Bytes of the root pointer of ACPI 2 and later.
const ROOT_POINTER: u64 = 36;
/// Bytes of the largest valid table.
const LARGEST: u64 = 1 << 20;

/// An error in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    /// The table, or one that leads to it, is not completely in memory.
    #[error("the {name} at {at} is not completely in memory: its length is {len}")]
    Truncated {
        /// Its name.
        name: &'static str,
        /// Its address.
        at: PhysAddr,
        /// Its length, according to its header.
        len: ByteLen,
    },
    /// The bytes do not have the sum zero.
    #[error("the {name} at {at} has a wrong checksum")]
    Checksum {
        /// Its name.
        name: &'static str,
        /// Its address.
        at: PhysAddr,
    },
    /// An entry reaches past the end of the table, or has no length.
    #[error(
        "the {name} is broken: its entry at byte {offset} has a length of {len} bytes, and {left} are left"
    )]
    Entry {
        /// Its name.
        name: &'static str,
        /// The offset of the entry in the table.
        offset: u64,
        /// The length of the entry, according to the entry.
        len: u64,
        /// The number of bytes that are left in the table.
        left: u64,
    },
    /// An entry describes an impossible range.
    #[error("the {name} is broken: its entry at byte {offset} has {len} from {start}, which is no range")]
    Range {
        /// Its name.
        name: &'static str,
        /// The offset of the entry in the table.
        offset: u64,
        /// First address.
        start: PhysAddr,
        /// Length.
        len: ByteLen,
    },
}

/// A table.
#[derive(Clone, Copy, Debug)]
struct Table {
    /// Its name.
    name: &'static str,
    /// All of it, header first.
    bytes: Bytes,
}

impl Table {
    /// The table at an address, after checking its bounds and its sum.
    fn at(at: PhysAddr, name: &'static str) -> Result<Self, TableError> {
        let len = Bytes::of(at, ByteLen::new(HEADER)).and_then(|header| header.u32(4)).unwrap_or(0);
        let len = ByteLen::new(u64::from(len));
        let bytes = Bytes::of(at, len).filter(|_| (HEADER..LARGEST).contains(&len.get()));
        let bytes = bytes.ok_or(TableError::Truncated { name, at, len })?;
        let sum = bytes.all().iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if sum == 0 { Ok(Self { name, bytes }) } else { Err(TableError::Checksum { name, at }) }
    }

    /// The range of the entry at `offset`.
    fn range(self, offset: u64, start: Option<u64>, len: Option<u64>) -> Result<PhysRange, TableError> {
        let (start, len) = (PhysAddr::new(start.unwrap_or(0)), ByteLen::new(len.unwrap_or(0)));
        let range = PhysRange::from_start_count(start, len);
        range.ok_or(TableError::Range { name: self.name, offset, start, len })
    }

    /// The entries from `first` on: the offset of each, and its bytes. `length` reads the length of an entry.
    fn entries(
        self,
        first: u64,
        length: fn(Bytes, u64) -> Option<u64>,
    ) -> impl Iterator<Item = Result<(u64, Bytes), TableError>> {
        let mut offset = first;
        core::iter::from_fn(move || {
            let left = self.bytes.len().saturating_sub(offset);
            if left == 0 {
                return None;
            }
            let len = length(self.bytes, offset).unwrap_or(0);
            let entry = self.bytes.part(offset, len).filter(|_| len > 0).map(|entry| (offset, entry));
            let result = entry.ok_or(TableError::Entry { name: self.name, offset, len, left });
            // After an error, the offset of the next entry is unknown.
            offset = if result.is_ok() { offset + len } else { self.bytes.len() };
            Some(result)
        })
    }
}

/// The table with this name, if there is one.
///
/// # Errors
///
/// [`TableError`], for it and for the tables that lead to it.
fn find(root_pointer: PhysAddr, name: &'static str) -> Result<Option<Table>, TableError> {
    let root = root(root_pointer)?;
    for address in addresses(root) {
        let at = PhysAddr::new(address);
        let signature = Bytes::of(at, ByteLen::new(4));
        if signature.is_some_and(|signature| signature.all() == name.as_bytes()) {
            return Table::at(at, name).map(Some);
        }
    }
    Ok(None)
}

/// The table of tables: the one with 64-bit addresses, if there is one.
fn root(at: PhysAddr) -> Result<Table, TableError> {
    let pointer = Bytes::of(at, ByteLen::new(ROOT_POINTER));
    let truncated = TableError::Truncated { name: "RSDP", at, len: ByteLen::new(ROOT_POINTER) };
    let pointer = pointer.ok_or(truncated)?;
    let extended = pointer.u64(24).filter(|at| pointer.all().get(15) >= Some(&2) && *at != 0);
    match extended {
        Some(at) => Table::at(PhysAddr::new(at), "XSDT"),
        None => Table::at(PhysAddr::new(u64::from(pointer.u32(16).ok_or(truncated)?)), "RSDT"),
    }
}

/// The addresses in a table of tables.
fn addresses(root: Table) -> impl Iterator<Item = u64> {
    let width = if root.name == "XSDT" { 8 } else { 4 };
    let count = (root.bytes.len() - HEADER) / width;
    (0..count).filter_map(move |nr| {
        let offset = HEADER + nr * width;
        if width == 8 { root.bytes.u64(offset) } else { root.bytes.u32(offset).map(u64::from) }
    })
}

/// The whole SRAT, header first, if there is one.
///
/// # Errors
///
/// [`TableError`], for it and for the tables that lead to it.
pub(crate) fn srat(root_pointer: PhysAddr) -> Result<Option<&'static [u8]>, TableError> {
    Ok(find(root_pointer, "SRAT")?.map(|table| table.bytes.all()))
}

/// The offset of the first entry of an NFIT.
const NFIT_FIRST: u64 = 40;
/// The type of an NFIT entry about a range of physical addresses.
const RANGE: u16 = 0;
/// The kind of a range that is persistent memory.
const PERSISTENT: [u8; 16] =
    [0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40, 0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb];
/// The node of the entry is valid.
const HAS_NODE: u16 = 1 << 1;

/// The first range of persistent memory, with its node.
///
/// # Errors
///
/// [`TableError`] for the first error.
pub(crate) fn nfit_persistent(root_pointer: PhysAddr) -> Result<Option<(PhysRange, NodeId)>, TableError> {
    let Some(table) = find(root_pointer, "NFIT")? else { return Ok(None) };
    for entry in table.entries(NFIT_FIRST, |bytes, at| bytes.u16(at + 2).map(u64::from)) {
        let (offset, entry) = entry?;
        if entry.u16(0) != Some(RANGE) || entry.array(16) != Some(PERSISTENT) {
            continue;
        }
        let range = table.range(offset, entry.u64(32), entry.u64(40))?;
        let node = entry.u32(12).filter(|_| entry.u16(6).is_some_and(|flags| flags & HAS_NODE != 0));
        return Ok(Some((range, NodeId::new(node.unwrap_or(0)))));
    }
    Ok(None)
}

/// The offset of the first entry of an MADT.
const MADT_FIRST: u64 = 44;
/// The type of an MADT entry about a processor.
const PROCESSOR: u8 = 0;
/// The processor may be started.
const STARTABLE: u32 = 1 << 0;

/// The numbers of the interrupt controllers of all processors, the calling one among them.
///
/// # Errors
///
/// [`TableError`] for the first error.
pub(crate) fn madt_processors(
    root_pointer: PhysAddr,
    report: &mut dyn FnMut(HardwareId),
) -> Result<(), TableError> {
    let Some(table) = find(root_pointer, "APIC")? else { return Ok(()) };
    for entry in table.entries(MADT_FIRST, |bytes, at| bytes.u8(at + 1).map(u64::from)) {
        let (_, entry) = entry?;
        if let (Some(PROCESSOR), Some(id), Some(flags)) = (entry.u8(0), entry.u8(3), entry.u32(4))
            && flags & STARTABLE != 0
        {
            report(HardwareId::new(u64::from(id)));
        }
    }
    Ok(())
}
