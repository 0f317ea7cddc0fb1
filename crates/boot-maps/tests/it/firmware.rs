//! Firmware: UEFI, ACPI, device trees, and what Linux and PVH kernels get.

use sparsemem_boot_maps::{BootMap, MapError, pvh_table};
use sparsemem_core::PhysAddr;
use uefi_raw::table::boot::{MemoryAttribute, MemoryDescriptor, MemoryType};

use crate::{fixture, free, ram, storage};

const GIB: u64 = 1 << 30;
/// The log of a machine whose firmware is UEFI, of which the kernel printed the map and its own table.
const LOG: &str = include_str!("../../../../conformance/machines/x86-hp-elitedesk-800g5-32g-efi.dmesg");

/// A descriptor of a line `efi: memNN: type=T, attr=A, range=[S-E)`.
fn descriptor(line: &str) -> Option<MemoryDescriptor> {
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (_, line) = line.split_once("type=")?;
    let (ty, line) = line.split_once(", attr=")?;
    let (att, line) = line.split_once(", range=[")?;
    let (start, end) = line.split_once(')')?.0.split_once('-')?;
    Some(MemoryDescriptor {
        ty: MemoryType(ty.parse().ok()?),
        padding: 0,
        phys_start: hex(start)?,
        virt_start: 0,
        page_count: (hex(end)? - hex(start)?) / 4096,
        att: MemoryAttribute::from_bits_retain(hex(att)?),
    })
}

/// What Linux' own boot code made of the same map is in the same log.
#[test]
fn uefi_gives_the_ram_that_linux_found() {
    let descriptors: Vec<_> =
        LOG.lines().filter(|line| line.contains("efi: mem")).filter_map(descriptor).collect();
    assert_eq!(descriptors.len(), 61);
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let usable = LOG.lines().filter(|line| line.contains("BIOS-e820") && line.ends_with("usable"));
    let usable = usable.map(|line| {
        let (start, end) =
            line.split_once("[mem ").unwrap().1.split_once(']').unwrap().0.split_once('-').unwrap();
        (hex(start), hex(end) + 1, 0)
    });
    let mut storage = storage(64);
    let mut map = BootMap::new(&mut storage);
    map.add_uefi(&descriptors).unwrap();
    assert_eq!(ram(&map), usable.collect::<Vec<_>>());
    // The loader's memory is RAM, and not free.
    let loader =
        descriptors.iter().filter(|it| matches!(it.ty, MemoryType::LOADER_CODE | MemoryType::LOADER_DATA));
    let loader: Vec<_> = loader.map(|it| it.phys_start).collect();
    assert!(!loader.is_empty());
    assert!(free(&map).iter().all(|(start, end, _)| loader.iter().all(|at| at < start || at >= end)));
}

#[test]
fn uefi_memory_for_a_purpose_or_without_a_cache_is_reserved() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    let of = |start, ty, att| MemoryDescriptor {
        ty,
        padding: 0,
        phys_start: start,
        virt_start: 0,
        page_count: 16,
        att: MemoryAttribute::from_bits_retain(att),
    };
    let all = [
        of(0, MemoryType::CONVENTIONAL, 8),
        of(0x10_0000, MemoryType::CONVENTIONAL, 8 | 0x4_0000),
        of(0x20_0000, MemoryType::CONVENTIONAL, 1),
        of(0x30_0000, MemoryType::RUNTIME_SERVICES_DATA, 8),
        of(0x40_0000, MemoryType::BOOT_SERVICES_CODE, 8),
        of(0x50_0000, MemoryType::ACPI_RECLAIM, 8),
    ];
    map.add_uefi(&all).unwrap();
    assert_eq!(ram(&map), [(0, 0x1_0000, 0), (0x40_0000, 0x41_0000, 0)]);
    let broken = MemoryDescriptor { page_count: u64::MAX, ..all[0] };
    assert!(matches!(map.add_uefi([&all[1], &broken]), Err(MapError::Wraps { .. })));
    assert_eq!(ram(&map).len(), 2, "nothing of a broken map is added");
}

#[test]
fn pvh_and_srat_give_ram_with_nodes() {
    let info = fixture!("pvh-start-info.bin");
    let table = pvh_table(info).unwrap();
    let bytes = fixture!("pvh-memory-map.bin");
    assert_eq!((table.start(), table.count().get()), (PhysAddr::new(0x5a8), bytes.len() as u64));
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    map.add_pvh(bytes).unwrap();
    assert_eq!(ram(&map), [(0, 0x9_f000, 0), (0x10_0000, 0xbffe_0000, 0), (4 * GIB, 7 * GIB, 0)]);
    map.add_srat(fixture!("seabios-srat.bin")).unwrap();
    let border = 2560 << 20;
    // The table also has 12 GiB of node 1 from 7 GiB on, for memory that may be plugged: no RAM.
    let expected =
        [(0, 0x9_f000, 0), (0x10_0000, border, 0), (border, 0xbffe_0000, 1), (4 * GIB, 7 * GIB, 1)];
    assert_eq!(ram(&map), expected);
}

/// With any byte cut off or, in a table with a checksum, changed, it is refused, and nothing is added.
#[test]
fn broken_tables_are_refused() {
    let srat = fixture!("seabios-srat.bin");
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    map.add_pvh(fixture!("pvh-memory-map.bin")).unwrap();
    let before = ram(&map);
    for cut in 0..srat.len() {
        assert!(map.add_srat(&srat[..cut]).is_err(), "cut at {cut}");
        let mut changed = srat.to_vec();
        changed[cut] ^= 4;
        assert!(map.add_srat(&changed).is_err(), "changed at {cut}");
    }
    let mut endless = srat.to_vec();
    let (len, sum) = (endless[49], 9);
    endless[49] = 0;
    endless[sum] = endless[sum].wrapping_add(len);
    let error = map.add_srat(&endless).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the SRAT is broken at byte 48: an entry reaches past its end, or has no length"
    );
    let info = fixture!("pvh-start-info.bin");
    assert!((0..52).all(|cut| pvh_table(&info[..cut]).is_err()));
    let page = fixture!("linux-zero-page.bin");
    assert!((0..0x2d0 + 7 * 20).step_by(7).all(|cut| map.add_boot_params(&page[..cut]).is_err()));
    assert_eq!(ram(&map), before);
}

#[test]
fn the_zero_page_gives_the_ram_that_linux_printed() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    map.add_boot_params(fixture!("linux-zero-page.bin")).unwrap();
    // `BIOS-e820` of the same run: usable up to 0x9fbff, and from 0x100000 up to 0x3ffdffff.
    assert_eq!(ram(&map), [(0, 0x9_f000, 0), (0x10_0000, 0x3ffe_0000, 0)]);
}

#[test]
fn a_device_tree_gives_nodes() {
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    map.add_device_tree(fixture!("qemu-arm64-numa.dtb")).unwrap();
    assert_eq!(ram(&map), [(GIB, 2 * GIB, 0), (2 * GIB, 4 * GIB, 1)]);
    assert_eq!(free(&map), ram(&map));
}

#[test]
fn memory_that_the_firmware_keeps_is_not_free() {
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    map.add_device_tree(fixture!("qemu-riscv64-opensbi.dtb")).unwrap();
    let (start, end) = (2 * GIB, 2 * GIB + (512 << 20));
    let all = ram(&map);
    assert_eq!(all.last().unwrap().1, end);
    assert!(
        free(&map).iter().all(|range| range.0 > start),
        "OpenSBI is at the start of RAM: {:?}",
        free(&map)
    );
    assert!(free(&map).iter().any(|range| range.1 == end));
}

#[test]
fn a_broken_device_tree_is_refused() {
    let tree = fixture!("qemu-riscv64-opensbi.dtb");
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    for cut in (0..tree.len()).step_by(13) {
        assert!(map.add_device_tree(&tree[..cut]).is_err(), "cut at {cut}");
        assert!(ram(&map).is_empty());
    }
}
