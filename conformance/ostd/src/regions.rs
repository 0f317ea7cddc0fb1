//! ostd's boot regions, as ranges for a model.

use ostd::boot::boot_info;
use ostd::boot::memory_region::MemoryRegionType;
use sparsemem::{MemoryRange, PhysAddr, presets::X86_64};
use sparsemem_boot_maps::{BootMap, Entry, MapError, Use};

/// Room for so many regions; a PC has some twenty.
const MOST: usize = 128;

/// The use that ostd's type of a region stands for: none for addresses of which the loader said nothing.
const fn used(kind: MemoryRegionType) -> Option<Use> {
    Some(match kind {
        MemoryRegionType::Usable => Use::Free,
        MemoryRegionType::Kernel
        | MemoryRegionType::Module
        | MemoryRegionType::Reclaimable
        | MemoryRegionType::NonVolatileSleep => Use::Taken,
        MemoryRegionType::Framebuffer => Use::Device,
        MemoryRegionType::Reserved | MemoryRegionType::BadMemory => Use::Reserved,
        MemoryRegionType::Unknown => return None,
    })
}

/// Calls a function with all RAM, lowest first.
///
/// # Errors
///
/// [`MapError`].
pub(crate) fn with_ram<R>(act: impl FnOnce(&BootMap<'_>) -> R) -> Result<R, MapError> {
    let mut storage = [Entry::EMPTY; MOST];
    let mut map = BootMap::new(&mut storage);
    for region in &boot_info().memory_regions {
        if let Some(used) = used(region.typ()) {
            map.add(PhysAddr::new(region.base() as u64), region.len() as u64, used)?;
        }
    }
    Ok(act(&map))
}

/// The RAM of a map.
pub(crate) fn ram(map: &BootMap<'_>) -> impl Iterator<Item = MemoryRange> + Clone {
    map.ram::<X86_64>()
}
