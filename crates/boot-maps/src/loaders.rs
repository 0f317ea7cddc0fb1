//! Boot loaders and firmware whose crates have types for their maps.

use sparsemem_core::PhysAddr;

use crate::{BootMap, MapError, Use};

#[cfg(feature = "uefi")]
impl BootMap<'_> {
    /// Adds the memory map of UEFI, after boot services have ended: their memory is free then.
    ///
    /// Memory that cannot be cached by writing back, or that is set aside for a purpose, is reserved, as in Linux. ACPI's
    /// tables stay reserved.
    ///
    /// # Errors
    ///
    /// [`MapError::Wraps`], [`MapError::Full`].
    pub fn add_uefi<'d>(
        &mut self,
        map: impl IntoIterator<Item = &'d uefi_raw::table::boot::MemoryDescriptor>,
    ) -> Result<(), MapError> {
        use uefi_raw::table::boot::{MemoryAttribute, MemoryType};
        /// Set aside for a purpose (`EFI_MEMORY_SP`).
        const SPECIFIC: MemoryAttribute = MemoryAttribute::from_bits_retain(0x4_0000);
        self.all_or_none(|boot| {
            map.into_iter().try_for_each(|entry| {
                let is_ordinary =
                    entry.att.contains(MemoryAttribute::WRITE_BACK) && !entry.att.contains(SPECIFIC);
                let used = match entry.ty {
                    MemoryType::CONVENTIONAL
                    | MemoryType::BOOT_SERVICES_CODE
                    | MemoryType::BOOT_SERVICES_DATA
                        if is_ordinary =>
                    {
                        Use::Free
                    }
                    MemoryType::LOADER_CODE | MemoryType::LOADER_DATA if is_ordinary => Use::Taken,
                    MemoryType::MMIO | MemoryType::MMIO_PORT_SPACE | MemoryType::PERSISTENT_MEMORY => {
                        Use::Device
                    }
                    _ => Use::Reserved,
                };
                let start = PhysAddr::new(entry.phys_start);
                let len = entry.page_count.checked_mul(4096);
                boot.add(start, len.ok_or(MapError::Wraps { start, len: u64::MAX })?, used)
            })
        })
    }
}

#[cfg(feature = "limine")]
impl BootMap<'_> {
    /// Adds the memory map of the Limine protocol. What a kernel may reclaim once it has read its tables (the loader's memory,
    /// ACPI's tables) is taken, and so are the kernel and its modules.
    ///
    /// What a device tree reserves may be usable here (Limine 8.0.4 on riscv64), so `add_device_tree` belongs to the
    /// same map.
    ///
    /// # Errors
    ///
    /// [`MapError::Wraps`], [`MapError::Full`].
    pub fn add_limine<'d>(
        &mut self,
        map: impl IntoIterator<Item = &'d limine::memory_map::Entry>,
    ) -> Result<(), MapError> {
        use limine::memory_map::EntryType;
        self.all_or_none(|boot| {
            map.into_iter().try_for_each(|entry| {
                let used = match entry.entry_type {
                    EntryType::USABLE => Use::Free,
                    EntryType::BOOTLOADER_RECLAIMABLE
                    | EntryType::ACPI_RECLAIMABLE
                    | EntryType::EXECUTABLE_AND_MODULES => Use::Taken,
                    EntryType::FRAMEBUFFER => Use::Device,
                    _ => Use::Reserved,
                };
                boot.add(PhysAddr::new(entry.base), entry.length, used)
            })
        })
    }
}

#[cfg(feature = "bootloader_api")]
impl BootMap<'_> {
    /// Adds the memory regions of the crate `bootloader`. What the loader uses is taken: it holds the kernel, its page
    /// tables and the boot information. Types of the firmware mean what they mean in the firmware's own map, so ACPI's
    /// tables are reserved.
    ///
    /// The loader hands over no attributes: on UEFI, memory that is set aside for a purpose is free here, and reserved
    /// by `add_uefi`.
    ///
    /// # Errors
    ///
    /// [`MapError::Wraps`] for a region that ends before it begins, [`MapError::Full`].
    pub fn add_bootloader<'d>(
        &mut self,
        regions: impl IntoIterator<Item = &'d bootloader_api::info::MemoryRegion>,
    ) -> Result<(), MapError> {
        use bootloader_api::info::MemoryRegionKind;
        self.all_or_none(|boot| {
            regions.into_iter().try_for_each(|region| {
                let used = match region.kind {
                    MemoryRegionKind::Usable => Use::Free,
                    MemoryRegionKind::Bootloader => Use::Taken,
                    // What `add_uefi` and a PC's table call devices: registers, and persistent memory.
                    MemoryRegionKind::UnknownUefi(11 | 12 | 14) | MemoryRegionKind::UnknownBios(7 | 12) => {
                        Use::Device
                    }
                    _ => Use::Reserved,
                };
                let start = PhysAddr::new(region.start);
                let len = region.end.checked_sub(region.start);
                boot.add(start, len.ok_or(MapError::Wraps { start, len: u64::MAX })?, used)
            })
        })
    }
}
