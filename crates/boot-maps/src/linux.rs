//! Linux' boot parameters on x86 ("zero page"), and the start info of PVH: bytes that a loader leaves in memory.
//!
//! Source: Linux' documents of the x86 boot protocol and of the zero page (the places of the table, and that its entries
//! are packed); Xen's document of the PVH boot ABI (start info of version 1). The `linux-loader` crate has the same records for the
//! loader's side; it needs `std`.

use sparsemem_core::{ByteLen, PhysAddr, PhysRange};

use crate::error::Table;
use crate::{BootMap, MapError, Use};

/// The number of entries in the zero page, and their place.
const E820_COUNT: usize = 0x1e8;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY: usize = 20;
/// The table in the zero page has room for so many.
const E820_MOST: usize = 128;

/// The first word of a start info.
const PVH_MAGIC: u32 = 0x336e_c578;
const PVH_ENTRY: usize = 24;

/// The use of a range by its type in a table of a PC (`E820_TYPE_*`). Types that nobody knows are reserved.
const fn of_type(kind: u32) -> Use {
    match kind {
        1 => Use::Free,
        // Persistent memory, by its own type and by the one that came before it.
        7 | 12 => Use::Device,
        _ => Use::Reserved,
    }
}

impl BootMap<'_> {
    /// Adds the table of the boot parameters, which are one page. Memory of the kernel, of the parameters and of an initial RAM
    /// disk is free in it: see [`BootMap::take`].
    ///
    /// # Errors
    ///
    /// [`MapError`]; a table of more than 128 entries is continued elsewhere, and this function does not follow it.
    pub fn add_boot_params(&mut self, page: &[u8]) -> Result<(), MapError> {
        let table = Table { name: "zero page", bytes: page };
        let [count] = table.array(E820_COUNT)?;
        if usize::from(count) > E820_MOST {
            return Err(table.broken(E820_COUNT, "it has more entries than there is room for"));
        }
        self.add_table(&table, E820_TABLE, usize::from(count), E820_ENTRY)
    }

    /// Adds the memory map of a PVH start info, whose place is [`pvh_table`].
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub fn add_pvh(&mut self, table: &[u8]) -> Result<(), MapError> {
        let table = Table { name: "PVH memory map", bytes: table };
        if table.bytes.len() % PVH_ENTRY != 0 {
            return Err(table.broken(table.bytes.len(), "it is cut off"));
        }
        self.add_table(&table, 0, table.bytes.len() / PVH_ENTRY, PVH_ENTRY)
    }

    /// Adds entries of an address, a length and a type.
    fn add_table(
        &mut self,
        table: &Table<'_>,
        first: usize,
        count: usize,
        entry: usize,
    ) -> Result<(), MapError> {
        self.all_or_none(|map| {
            (0..count).map(|nr| first + nr * entry).try_for_each(|at| {
                let (start, len, kind) = (table.u64(at)?, table.u64(at + 8)?, table.u32(at + 16)?);
                map.add(PhysAddr::new(start), len, of_type(kind))
            })
        })
    }
}

/// The place of the memory map that a PVH start info names.
///
/// # Errors
///
/// [`MapError::Broken`], also for a start info that names no memory map.
pub fn pvh_table(start_info: &[u8]) -> Result<PhysRange, MapError> {
    let info = Table { name: "PVH start info", bytes: start_info };
    if info.u32(0)? != PVH_MAGIC {
        return Err(info.broken(0, "it does not begin with its magic number"));
    }
    if info.u32(4)? == 0 {
        return Err(info.broken(4, "version 0 has no memory map"));
    }
    let (start, count) = (PhysAddr::new(info.u64(40)?), info.u32(48)?);
    if start.get() == 0 {
        return Err(info.broken(40, "it names no memory map"));
    }
    if count == 0 {
        return Err(info.broken(48, "its memory map has no entries"));
    }
    let len = ByteLen::new(u64::from(count) * PVH_ENTRY as u64);
    PhysRange::from_start_count(start, len).ok_or(MapError::Wraps { start, len: len.get() })
}
