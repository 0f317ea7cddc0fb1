//! Which memory belongs to which node: the SRAT.
//!
//! Source: ACPI 6, "System Resource Affinity Table", "Memory Affinity Structure".

use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};

use super::acpi::{self, Table, TableError};

/// Where the entries begin.
const FIRST: u64 = 48;
/// An entry about memory.
const MEMORY: u8 = 1;
/// The entry counts.
const ENABLED: u32 = 1 << 0;
/// The range may be plugged later: it says nothing of what is there.
const HOT_PLUGGABLE: u32 = 1 << 1;

/// The memory that was there when the machine was started, by node: what is switched off, empty, or only a window for
/// later is left out.
///
/// # Errors
///
/// [`TableError`] for the first thing that is wrong.
pub(crate) fn memory(
    root_pointer: PhysAddr,
    tell: &mut dyn FnMut(PhysRange, NodeId),
) -> Result<(), TableError> {
    let Some(table) = acpi::find(root_pointer, "SRAT")? else { return Ok(()) };
    for entry in table.entries(FIRST, |bytes, at| bytes.u8(at + 1).map(u64::from)) {
        let (offset, entry) = entry?;
        if let (Some(MEMORY), Some(flags)) = (entry.u8(0), entry.u32(28))
            && flags & (ENABLED | HOT_PLUGGABLE) == ENABLED
        {
            range(table, offset, entry.u64(8), entry.u64(16))?
                .into_iter()
                .for_each(|range| tell(range, NodeId::new(entry.u32(2).unwrap_or(0))));
        }
    }
    Ok(())
}

/// The range of an entry; `None` if it is empty.
fn range(
    table: Table,
    offset: u64,
    start: Option<u64>,
    len: Option<u64>,
) -> Result<Option<PhysRange>, TableError> {
    let (start, len) = (PhysAddr::new(start.unwrap_or(0)), ByteLen::new(len.unwrap_or(0)));
    let range = PhysRange::from_start_count(start, len);
    let range = range.ok_or(TableError::Range { name: table.name, offset, start, len })?;
    Ok(Some(range).filter(|range| !range.is_empty()))
}
