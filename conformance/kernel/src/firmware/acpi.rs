//! ACPI tables by their names.
//!
//! Source: ACPI 6, "Root System Description Pointer", "System Description Table Header".

use sparsemem::{ByteLen, PhysAddr};

use super::bytes::Bytes;

/// Units: bytes. The header of every table.
const HEADER: u64 = 36;
/// Units: bytes. The root pointer of ACPI 2 and later.
const ROOT_POINTER: u64 = 36;
/// Units: bytes. The largest table that makes sense.
const LARGEST: u64 = 1 << 20;

/// A table that is not what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    /// The table, or one on the way to it, is not all there.
    #[error("the {name} at {at} is not all in memory: its length is {len}")]
    Truncated {
        /// Its name.
        name: &'static str,
        /// Where it is.
        at: PhysAddr,
        /// What it says of its length.
        len: ByteLen,
    },
    /// The bytes do not add up.
    #[error("the {name} at {at} has a wrong checksum")]
    Checksum {
        /// Its name.
        name: &'static str,
        /// Where it is.
        at: PhysAddr,
    },
    /// An entry reaches behind the end, or has no length at all.
    #[error(
        "the {name} is broken: its entry at byte {offset} says that it has {len} bytes, and {left} are left"
    )]
    Entry {
        /// Its name.
        name: &'static str,
        /// Where in the table it begins.
        offset: u64,
        /// What it says of its length.
        len: u64,
        /// What there is.
        left: u64,
    },
    /// An entry describes what cannot be.
    #[error("the {name} is broken: its entry at byte {offset} has {len} from {start}, which is no range")]
    Range {
        /// Its name.
        name: &'static str,
        /// Where in the table the entry begins.
        offset: u64,
        /// First address.
        start: PhysAddr,
        /// Length.
        len: ByteLen,
    },
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// All of it, header first.
    pub(crate) bytes: Bytes,
}

impl Table {
    /// The table at an address, with its bounds and its sum checked.
    fn at(at: PhysAddr, name: &'static str) -> Result<Self, TableError> {
        let len = Bytes::of(at, ByteLen::new(HEADER)).and_then(|header| header.u32(4)).unwrap_or(0);
        let len = ByteLen::new(u64::from(len));
        let bytes = Bytes::of(at, len).filter(|_| (HEADER..LARGEST).contains(&len.get()));
        let bytes = bytes.ok_or(TableError::Truncated { name, at, len })?;
        let sum = bytes.all().iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if sum == 0 { Ok(Self { name, bytes }) } else { Err(TableError::Checksum { name, at }) }
    }

    /// The entries from `first` on, whose length is one that `length` finds: where each begins, and its bytes.
    pub(crate) fn entries(
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
            // After an error nothing more can be found.
            offset = if result.is_ok() { offset + len } else { self.bytes.len() };
            Some(result)
        })
    }
}

/// The table of this name, if there is one.
///
/// # Errors
///
/// [`TableError`], for it and for the tables that lead to it.
pub(crate) fn find(root_pointer: PhysAddr, name: &'static str) -> Result<Option<Table>, TableError> {
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

/// The table of tables: that of 64-bit addresses, where there is one.
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
