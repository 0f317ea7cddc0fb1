//! Boot loaders: a real hand-over of GRUB, and maps by the documentation of Limine and of the crate `bootloader`.

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use limine::memory_map::{Entry, EntryType};
use multiboot2::{BootInformation, BootInformationHeader};
use sparsemem_boot_maps::{BootMap, MapError};

use crate::{fixture, free, ram, storage};

/// Bytes on the border that a boot information needs.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

#[test]
fn grub_hands_over_ram_and_a_module() {
    static INFO: Aligned<688> = Aligned(*fixture!("grub-multiboot2.bin"));
    let header = INFO.0.as_ptr().cast::<BootInformationHeader>();
    // SAFETY: the bytes are a whole boot information, aligned.
    let info = unsafe { BootInformation::load(header) }.unwrap();
    let module = info.module_tags().next().unwrap();
    let (start, end) = (u64::from(module.start_address()), u64::from(module.end_address()));
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    map.add_multiboot2(&info).unwrap();
    assert_eq!(ram(&map), [(0, 0x9_f000, 0), (0x10_0000, 0x3ffe_0000, 0)]);
    assert!(start >= 0x10_0000 && end - start == 5000, "{start:#x} to {end:#x}");
    let is_free = |at: u64| free(&map).iter().any(|(from, to, _)| *from <= at && at < *to);
    assert!(!is_free(start) && !is_free(end - 1) && is_free(end + 4096));
}

#[test]
fn limine_keeps_the_kernel_and_reclaimable_memory_taken() {
    let entry = |base, length, entry_type| Entry { base, length, entry_type };
    let all = [
        entry(0x1000, 0x9_e000, EntryType::USABLE),
        entry(0x10_0000, 0x10_0000, EntryType::BOOTLOADER_RECLAIMABLE),
        entry(0x20_0000, 0x10_0000, EntryType::EXECUTABLE_AND_MODULES),
        entry(0x30_0000, 0x1_0000, EntryType::ACPI_RECLAIMABLE),
        entry(0x31_0000, 0x1_0000, EntryType::ACPI_NVS),
        entry(0x32_0000, 0x1_0000, EntryType::BAD_MEMORY),
        entry(0x40_0000, 0x40_0000, EntryType::USABLE),
        entry(0xfd00_0000, 0x40_0000, EntryType::FRAMEBUFFER),
    ];
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    map.add_limine(&all).unwrap();
    let usable = [(0x1000, 0x9_f000, 0), (0x40_0000, 0x80_0000, 0)];
    assert_eq!(free(&map), usable);
    assert_eq!(ram(&map), [usable[0], (0x10_0000, 0x31_0000, 0), usable[1]]);
    assert_eq!(map.add_limine(&all[..1]), Err(MapError::Full { capacity: 8 }));
}

#[test]
fn the_bootloader_crate_keeps_what_it_uses_taken() {
    let region = |start, end, kind| MemoryRegion { start, end, kind };
    let all = [
        region(0, 0x9_f000, MemoryRegionKind::Usable),
        region(0x9_f000, 0xa_0000, MemoryRegionKind::UnknownBios(2)),
        region(0x10_0000, 0x50_0000, MemoryRegionKind::Bootloader),
        region(0x50_0000, 0x80_0000, MemoryRegionKind::Usable),
        region(0x80_0000, 0x90_0000, MemoryRegionKind::UnknownUefi(6)),
    ];
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    map.add_bootloader(&all).unwrap();
    assert_eq!(free(&map), [(0, 0x9_f000, 0), (0x50_0000, 0x80_0000, 0)]);
    assert_eq!(ram(&map), [(0, 0x9_f000, 0), (0x10_0000, 0x80_0000, 0)]);
    let reversed = [region(0x2000, 0x1000, MemoryRegionKind::Usable)];
    assert!(matches!(map.add_bootloader(&reversed), Err(MapError::Wraps { .. })));
}
