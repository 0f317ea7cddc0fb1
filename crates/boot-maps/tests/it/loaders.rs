//! Boot loaders: what GRUB, Limine and the crate `bootloader` handed over, and maps of types that these lack.

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use limine::memory_map::{Entry, EntryType};
use multiboot2::{BootInformation, BootInformationHeader};
use sparsemem_boot_maps::{BootMap, MapError};
use sparsemem_core::{PhysAddr, PhysRange, Region, RegionKind, WhatIs};

use crate::{fixture, free, ram, storage};

/// Limine's types, by their numbers.
const TYPES: [EntryType; 8] = [
    EntryType::USABLE,
    EntryType::RESERVED,
    EntryType::ACPI_RECLAIMABLE,
    EntryType::ACPI_NVS,
    EntryType::BAD_MEMORY,
    EntryType::BOOTLOADER_RECLAIMABLE,
    EntryType::EXECUTABLE_AND_MODULES,
    EntryType::FRAMEBUFFER,
];

/// The lines of a hand-over that is text: two numbers and a word each.
fn lines(text: &[u8]) -> impl Iterator<Item = (u64, u64, &str)> {
    let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x").unwrap(), 16).unwrap();
    std::str::from_utf8(text).unwrap().lines().map(move |line| {
        let (start, rest) = line.split_once(' ').unwrap();
        let (end, word) = rest.split_once(' ').unwrap();
        (number(start), number(end), word)
    })
}

/// What Limine handed over.
fn entries(text: &[u8]) -> Vec<Entry> {
    let entry = |(base, length, kind): (_, _, &str)| Entry {
        base,
        length,
        entry_type: TYPES[kind.parse::<usize>().unwrap()],
    };
    lines(text).map(entry).collect()
}

/// What the crate `bootloader` handed over.
fn regions(text: &[u8]) -> Vec<MemoryRegion> {
    let kind = |word: &str| match word.trim_end_matches(')').split_once('(') {
        None if word == "Usable" => MemoryRegionKind::Usable,
        None if word == "Bootloader" => MemoryRegionKind::Bootloader,
        Some(("UnknownBios", number)) => MemoryRegionKind::UnknownBios(number.parse().unwrap()),
        Some(("UnknownUefi", number)) => MemoryRegionKind::UnknownUefi(number.parse().unwrap()),
        _ => panic!("{word} is no kind"),
    };
    lines(text).map(|(start, end, word)| MemoryRegion { start, end, kind: kind(word) }).collect()
}

/// What lies at addresses, by a map.
fn what_is(map: &BootMap<'_>, start: u64, end: u64) -> WhatIs {
    let mut space = [Region { range: PhysRange::default(), kind: RegionKind::Ram }; 32];
    let range = PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
    map.regions(&mut space).unwrap().what_is(range)
}

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

/// RAM of 2 GiB, whose last 132 KiB the firmware keeps, as another loader finds it on such a machine. Of that, the first
/// page is in no entry of Limine.
#[test]
fn limine_hands_over_a_pc() {
    let (mut own, mut of_other) = (storage(16), storage(16));
    let (mut map, mut other) = (BootMap::new(&mut own), BootMap::new(&mut of_other));
    map.add_limine(&entries(fixture!("limine-bios.txt"))).unwrap();
    other.add_bootloader(&regions(fixture!("bootloader-q35.txt"))).unwrap();
    let mut expected = ram(&other);
    expected[0].0 = 0x1000;
    assert_eq!(ram(&map), expected);
    assert_eq!(expected, [(0x1000, 0x9_f000, 0), (0x10_0000, 0x7ffd_f000, 0)]);
    let usable = [
        (0x5_2000, 0x9_f000, 0),
        (0x10_0000, 0x7ff1_b000, 0),
        (0x7ff4_0000, 0x7ff4_1000, 0),
        (0x7ff4_3000, 0x7ff5_e000, 0),
    ];
    assert_eq!(free(&map), usable);
}

/// A board with a device tree has memory of ACPI's type, too: it is RAM, so RAM has no hole there. OpenSBI's own memory,
/// which the tree reserves, is usable in Limine's map.
#[test]
fn limine_hands_over_reclaimable_memory_in_the_middle_of_ram() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    map.add_limine(&entries(fixture!("limine-riscv64.txt"))).unwrap();
    let (start, acpi) = (0x8000_0000, (0x87ef_b000, 0x87f0_5000));
    assert_eq!(ram(&map), [(start, 0xba63_5000, 0)]);
    assert_eq!(free(&map), [(start, acpi.0, 0), (acpi.1, 0xba5b_0000, 0)]);
    let (from, to) = (PhysAddr::new(start), PhysAddr::new(start + 0x8_0000));
    map.take(PhysRange::new(from, to).unwrap()).unwrap();
    assert_eq!(ram(&map), [(start, 0xba63_5000, 0)]);
    assert_eq!(free(&map), [(start + 0x8_0000, acpi.0, 0), (acpi.1, 0xba5b_0000, 0)]);
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

/// The machine is that of the zero page, so Linux found the same RAM there.
#[test]
fn the_bootloader_crate_hands_over_what_linux_found() {
    let (mut own, mut of_linux) = (storage(16), storage(16));
    let (mut map, mut linux) = (BootMap::new(&mut own), BootMap::new(&mut of_linux));
    map.add_bootloader(&regions(fixture!("bootloader-bios.txt"))).unwrap();
    linux.add_boot_params(fixture!("linux-zero-page.bin")).unwrap();
    assert_eq!(ram(&map), ram(&linux));
    // The kernel's file and what the loader allocated are at 16 MiB.
    let usable = [(0, 0x9_f000, 0), (0x10_0000, 0x100_0000, 0), (0x103_0000, 0x3ffe_0000, 0)];
    assert_eq!(free(&map), usable);
}

/// Linux' `BIOS-e820` lines on the same machine have these ranges of usable memory. The flash is a device, as in UEFI's
/// own map.
#[test]
fn the_bootloader_crate_hands_over_the_memory_of_uefi() {
    let all = regions(fixture!("bootloader-uefi.txt"));
    let mut storage = storage(all.len());
    let mut map = BootMap::new(&mut storage);
    map.add_bootloader(&all).unwrap();
    let of_linux = [
        (0, 0xa_0000, 0),
        (0x10_0000, 0x80_6000, 0),
        (0x80_8000, 0x81_0000, 0),
        (0x90_0000, 0x3eaa_0000, 0),
        (0x3eba_2000, 0x3f4e_c000, 0),
        (0x3f7f_e000, 0x3fef_4000, 0),
    ];
    assert_eq!(ram(&map), of_linux);
    // What the loader allocated is at 1 MiB, and the kernel's file where UEFI put it.
    let mut usable = of_linux.to_vec();
    usable[1].0 = 0x12_d000;
    usable[3].1 = 0x3e38_d000;
    usable.insert(4, (0x3e39_1000, 0x3eaa_0000, 0));
    assert_eq!(free(&map), usable);
    assert_eq!(what_is(&map, 0xffc0_0000, 0x1_0000_0000), WhatIs::Device);
    assert_eq!(what_is(&map, 0x3f76_c000, 0x3f77_e000), WhatIs::Reserved, "ACPI's tables");
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
        region(0xa0_0000, 0xa1_0000, MemoryRegionKind::UnknownUefi(12)),
        region(0xa1_0000, 0xa2_0000, MemoryRegionKind::UnknownUefi(14)),
        region(0xa2_0000, 0xa3_0000, MemoryRegionKind::UnknownBios(7)),
        region(0xa3_0000, 0xa4_0000, MemoryRegionKind::UnknownBios(12)),
    ];
    let mut storage = storage(9);
    let mut map = BootMap::new(&mut storage);
    map.add_bootloader(&all).unwrap();
    assert_eq!(free(&map), [(0, 0x9_f000, 0), (0x50_0000, 0x80_0000, 0)]);
    assert_eq!(ram(&map), [(0, 0x9_f000, 0), (0x10_0000, 0x80_0000, 0)]);
    assert_eq!(what_is(&map, 0x80_0000, 0x90_0000), WhatIs::Reserved);
    assert_eq!(what_is(&map, 0xa0_0000, 0xa4_0000), WhatIs::Device, "ports, and persistent memory");
    let reversed = [region(0x2000, 0x1000, MemoryRegionKind::Usable)];
    assert!(matches!(map.add_bootloader(&reversed), Err(MapError::Wraps { .. })));
}
