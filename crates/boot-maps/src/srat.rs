//! The system resource affinity table of ACPI: which memory is of which node.
//!
//! The crate `acpi` (7.0.0-pre1) reads the high half of a range's length from the wrong field, so the table is read here.
//! Source: ACPI 6, "System Resource Affinity Table", "Memory Affinity Structure"; ACPI 2, for the first revision, of which Linux
//! (`acpi_numa_memory_affinity_init`) ignores the same bytes.

use sparsemem_core::{NodeId, PhysAddr};

use crate::error::Table;
use crate::{BootMap, MapError};

/// Bytes before the first entry.
const FIRST: usize = 48;
/// The type and the length of an entry about memory.
const MEMORY: u8 = 1;
const MEMORY_LEN: usize = 40;
/// The flag of an entry that is valid.
const ENABLED: u32 = 1;
/// The place of the table's revision. In the first, a proximity domain has one byte, and three that may hold anything follow.
const REVISION: usize = 8;

impl BootMap<'_> {
    /// Adds the nodes of a whole SRAT, header first: proximity domains are node numbers. Ranges for memory that may be
    /// plugged later are added like the others, because a range of a node is no RAM.
    ///
    /// # Errors
    ///
    /// [`MapError`]; a table whose bytes do not have the sum zero is broken.
    pub fn add_srat(&mut self, table: &[u8]) -> Result<(), MapError> {
        let table = Table { name: "SRAT", bytes: table };
        if &table.array(0)? != b"SRAT" {
            return Err(table.broken(0, "it does not begin with its name"));
        }
        let table = table.first(usize::try_from(table.u32(4)?).unwrap_or(usize::MAX))?;
        if table.bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
            return Err(table.broken(9, "the checksum is wrong"));
        }
        let [revision] = table.array(REVISION)?;
        let domains = if revision <= 1 { 0xff } else { u32::MAX };
        self.all_or_none(|map| {
            let mut at = FIRST;
            while at < table.bytes.len() {
                let [kind, len] = table.array(at)?;
                let entry = table.bytes.get(at..).and_then(|rest| rest.get(..usize::from(len)));
                let entry = entry.filter(|entry| !entry.is_empty());
                let entry =
                    entry.ok_or(table.broken(at, "an entry reaches past its end, or has no length"))?;
                if kind == MEMORY {
                    map.assign_affinity(Table { name: "SRAT", bytes: entry }, at, domains)?;
                }
                at += usize::from(len);
            }
            Ok(())
        })
    }

    /// Adds the node of an entry at a place. Of its proximity domain, the bits in `domains` count.
    fn assign_affinity(&mut self, entry: Table<'_>, at: usize, domains: u32) -> Result<(), MapError> {
        if entry.bytes.len() < MEMORY_LEN {
            return Err(entry.broken(at, "an entry about memory is too short"));
        }
        if entry.u32(28)? & ENABLED == 0 {
            return Ok(());
        }
        let node = NodeId::new(entry.u32(2)? & domains);
        self.assign(PhysAddr::new(entry.u64(8)?), entry.u64(16)?, node)
    }
}
