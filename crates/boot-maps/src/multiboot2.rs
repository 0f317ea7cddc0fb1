//! The boot information of Multiboot2: its memory map, and its modules.
//!
//! The crate `multiboot2` checks that the tags are whole, and hands out their bytes. Its own types of the two tags panic for
//! a memory map whose entries have another size than now, so they are read here. Source: Multiboot2 Specification, 3.6.8
//! "Memory map" and 3.6.6 "Modules".

use multiboot2::{BootInformation, TagType};
use sparsemem_core::{PhysAddr, PhysRange};

use crate::error::Table;
use crate::{BootMap, MapError, Use};

/// The size of entries and their version, before the first entry.
const FIRST: usize = 8;
/// The bytes of an entry that mean something: an address, a length and a type. Later versions have more.
const KNOWN: usize = 20;

/// The use of a range by its type.
const fn of_type(kind: u32) -> Use {
    match kind {
        1 => Use::Free,
        // The tables of ACPI, until the kernel has read them.
        3 => Use::Taken,
        _ => Use::Reserved,
    }
}

impl BootMap<'_> {
    /// Adds the memory map of a Multiboot2 boot information, and takes the boot information itself, if it lies where its address
    /// says, and the modules. Memory of the kernel is free in the map: see [`BootMap::take`].
    ///
    /// # Errors
    ///
    /// [`MapError`]; a boot information without a memory map is broken.
    pub fn add_multiboot2(&mut self, info: &BootInformation<'_>) -> Result<(), MapError> {
        let none = MapError::Broken { table: "boot information", at: 0, what: "it has no memory map" };
        self.all_or_none(|boot| {
            let areas = tags(info, "memory map", TagType::Mmap).next().ok_or(none)?;
            boot.add_areas(areas)?;
            for module in tags(info, "module", TagType::Module) {
                boot.take_between(module.u32(0)?.into(), module.u32(4)?.into())?;
            }
            boot.take_between(info.start_address() as u64, info.end_address() as u64)
        })
    }

    fn add_areas(&mut self, areas: Table<'_>) -> Result<(), MapError> {
        let size = usize::try_from(areas.u32(0)?).unwrap_or(usize::MAX);
        if size < KNOWN {
            return Err(areas.broken(0, "its entries are too short"));
        }
        let mut at = FIRST;
        while at < areas.bytes.len() {
            let (start, len, kind) = (areas.u64(at)?, areas.u64(at + 8)?, areas.u32(at + 16)?);
            self.add(PhysAddr::new(start), len, of_type(kind))?;
            at = at.saturating_add(size);
        }
        if at == areas.bytes.len() { Ok(()) } else { Err(areas.broken(areas.bytes.len(), "it is cut off")) }
    }

    fn take_between(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let start = PhysAddr::new(start);
        let range = PhysRange::new(start, PhysAddr::new(end));
        self.take(range.map_err(|_| MapError::Wraps { start, len: end.wrapping_sub(start.get()) })?)
    }
}

/// The tags of a type, without their headers.
fn tags<'i>(
    info: &'i BootInformation<'_>,
    name: &'static str,
    of: TagType,
) -> impl Iterator<Item = Table<'i>> {
    let tags = info.tags().filter(move |tag| tag.header().typ == of);
    tags.map(move |tag| Table { name, bytes: tag.payload() })
}
