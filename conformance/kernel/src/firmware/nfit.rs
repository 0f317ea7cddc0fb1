//! Persistent memory: the NFIT.
//!
//! Source: ACPI 6, "NVDIMM Firmware Interface Table", "System Physical Address Range Structure".

use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};

use super::acpi::{self, TableError};

/// Where the entries begin.
const FIRST: u64 = 40;
/// An entry about a range of physical addresses.
const RANGE: u16 = 0;
/// The kind of range that is persistent memory, as it lies in memory.
const PERSISTENT: [u8; 16] =
    [0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40, 0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb];
/// The node of the entry counts.
const HAS_NODE: u16 = 1 << 1;

/// The first range of persistent memory, with its node.
///
/// # Errors
///
/// [`TableError`] for the first thing that is wrong.
pub(crate) fn persistent(root_pointer: PhysAddr) -> Result<Option<(PhysRange, NodeId)>, TableError> {
    let Some(table) = acpi::find(root_pointer, "NFIT")? else { return Ok(None) };
    for entry in table.entries(FIRST, |bytes, at| bytes.u16(at + 2).map(u64::from)) {
        let (offset, entry) = entry?;
        if entry.u16(0) != Some(RANGE) || entry.array(16) != Some(PERSISTENT) {
            continue;
        }
        let start = PhysAddr::new(entry.u64(32).unwrap_or(0));
        let len = ByteLen::new(entry.u64(40).unwrap_or(0));
        let range = PhysRange::from_start_count(start, len);
        let range = range.ok_or(TableError::Range { name: table.name, offset, start, len })?;
        let node = entry.u32(12).filter(|_| entry.u16(6).is_some_and(|flags| flags & HAS_NODE != 0));
        return Ok(Some((range, NodeId::new(node.unwrap_or(0)))));
    }
    Ok(None)
}
