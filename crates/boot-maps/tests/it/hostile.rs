//! Hand-overs that break their protocol, or use more of it than usual: nothing panics, and no memory is lost silently.

use multiboot2::BootInformation;
use sparsemem_boot_maps::{BootMap, MapError, pvh_table};

use crate::{fixture, free, ram, storage};

const MMAP: u32 = 6;
const MODULE: u32 = 3;

/// Little-endian words of 32 bits as bytes.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An entry of a Multiboot2 memory map with `more` bytes that no known version has.
fn area(start: u32, len: u32, kind: u32, more: usize) -> Vec<u8> {
    [words(&[start, 0, len, 0, kind, 0]), vec![0xee; more]].concat()
}

/// The tag of a memory map whose entries have `size` bytes.
fn mmap(size: u32, areas: &[Vec<u8>]) -> (u32, Vec<u8>) {
    (MMAP, [words(&[size, 0]), areas.concat()].concat())
}

/// Adds a boot information of these tags to a map.
fn multiboot2(map: &mut BootMap<'_>, tags: &[(u32, Vec<u8>)]) -> Result<(), MapError> {
    let mut bytes = vec![0; 8];
    for (kind, payload) in tags {
        bytes.extend(words(&[*kind, u32::try_from(payload.len()).unwrap() + 8]));
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.extend(words(&[0, 8]));
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    // Words, for the border that a boot information needs.
    let aligned: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    // SAFETY: the words are a whole boot information, aligned, and live until the end of this function.
    let info = unsafe { BootInformation::load(aligned.as_ptr().cast()) }.unwrap();
    map.add_multiboot2(&info)
}

/// "For future extensions": a reader has to step by the size that the tag names.
#[test]
fn a_memory_map_with_longer_entries_is_read() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    let areas = |more| {
        [area(0, 0x9_f000, 1, more), area(0x10_0000, 0x10_0000, 1, more), area(0x20_0000, 0x1000, 3, more)]
    };
    multiboot2(&mut map, &[mmap(32, &areas(8))]).unwrap();
    assert_eq!(ram(&map), [(0, 0x9_f000, 0), (0x10_0000, 0x20_1000, 0)]);
    assert_eq!(free(&map), [(0, 0x9_f000, 0), (0x10_0000, 0x20_0000, 0)]);
}

#[test]
fn a_memory_map_that_is_cut_off_is_refused() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    let whole = area(0x10_0000, 0x10_0000, 1, 0);
    for (size, areas) in
        [(24, [&whole[..], &whole[..23]].concat()), (0, whole.clone()), (16, whole[..16].to_vec())]
    {
        let error = multiboot2(&mut map, &[mmap(size, &[areas])]).unwrap_err();
        assert!(matches!(error, MapError::Broken { .. }), "{error}");
    }
    for (kind, len) in [(MMAP, 0), (MMAP, 4), (MODULE, 0), (MODULE, 4)] {
        let tags = [mmap(24, std::slice::from_ref(&whole)), (kind, vec![0; len])];
        let tags = if kind == MMAP { &tags[1..] } else { &tags[..] };
        let error = multiboot2(&mut map, tags).unwrap_err();
        assert!(matches!(error, MapError::Broken { .. }), "{error}");
    }
    assert!(matches!(multiboot2(&mut map, &[]), Err(MapError::Broken { .. })), "it has no memory map");
    assert!(ram(&map).is_empty());
}

/// Its memory would be free.
#[test]
fn a_module_that_ends_before_it_begins_is_refused() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    let tags = [mmap(24, &[area(0x10_0000, 0x10_0000, 1, 0)]), (MODULE, words(&[0x14_0000, 0x13_0000, 0]))];
    assert!(matches!(multiboot2(&mut map, &tags), Err(MapError::Wraps { .. })));
    assert!(ram(&map).is_empty());
}

#[test]
fn a_pvh_memory_map_that_is_cut_off_is_refused() {
    let mut storage = storage(8);
    let mut map = BootMap::new(&mut storage);
    let table = fixture!("pvh-memory-map.bin");
    for cut in (1..table.len()).filter(|cut| cut % 24 != 0) {
        assert!(matches!(map.add_pvh(&table[..cut]), Err(MapError::Broken { .. })), "cut at {cut}");
    }
    assert!(ram(&map).is_empty());
}

#[test]
fn a_start_info_without_a_memory_map_is_refused() {
    let mut info = fixture!("pvh-start-info.bin").to_vec();
    info[48..52].fill(0);
    assert!(matches!(pvh_table(&info), Err(MapError::Broken { at: 48, .. })));
    let mut info = fixture!("pvh-start-info.bin").to_vec();
    info[40..48].fill(0);
    assert!(matches!(pvh_table(&info), Err(MapError::Broken { at: 40, .. })));
}

/// In the first revision, a domain has one byte, and the three after it may hold anything.
#[test]
fn a_first_revision_of_srat_has_domains_of_one_byte() {
    let mut table = fixture!("seabios-srat.bin").to_vec();
    let mut at = 48;
    while at < table.len() {
        if table[at] == 1 {
            table[at + 3..at + 6].copy_from_slice(&[0xab, 0xcd, 0xef]);
        }
        at += usize::from(table[at + 1]);
    }
    table[8] = 1;
    table[9] = 0;
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = 0_u8.wrapping_sub(sum);
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    map.add_pvh(fixture!("pvh-memory-map.bin")).unwrap();
    map.add_srat(&table).unwrap();
    let nodes: Vec<_> = ram(&map).iter().map(|(.., node)| *node).collect();
    assert_eq!(nodes, [0, 0, 1, 1]);
}

/// The place of a property's value in a device tree, at the first node that has it.
fn value_of(tree: &[u8], name: &str) -> usize {
    let word = |at: usize| u32::from_be_bytes(tree[at..at + 4].try_into().unwrap());
    let (structure, strings) = (word(8) as usize, word(12) as usize);
    let name = [name.as_bytes(), b"\0"].concat();
    let is_name = |at: usize| tree[strings + at..].starts_with(&name);
    let property = (structure..).step_by(4).find(|at| word(*at) == 3 && is_name(word(at + 8) as usize));
    property.unwrap() + 12
}

/// Sizes without cells are no sizes: all RAM would be lost.
#[test]
fn memory_without_a_size_is_refused() {
    let mut tree = fixture!("qemu-arm64-numa.dtb").to_vec();
    let mut storage = storage(16);
    let mut map = BootMap::new(&mut storage);
    for name in ["#size-cells", "#address-cells"] {
        let at = value_of(&tree, name);
        let before = std::mem::replace(&mut tree[at + 3], 0);
        let error = map.add_device_tree(&tree).unwrap_err();
        assert!(matches!(error, MapError::Broken { .. }), "{name}: {error}");
        tree[at + 3] = before;
    }
    map.add_device_tree(&tree).unwrap();
}

/// With a byte changed it is another tree, or none: nothing panics, and nothing of a refused tree stays.
#[test]
fn changed_device_trees_do_not_panic() {
    for tree in [&fixture!("qemu-arm64-numa.dtb")[..], &fixture!("qemu-riscv64-opensbi.dtb")[..]] {
        let mut changed = tree.to_vec();
        let mut refused = 0;
        for at in (0..tree.len()).step_by(3) {
            for bits in [1, 0xff] {
                changed[at] ^= bits;
                let mut storage = storage(16);
                let mut map = BootMap::new(&mut storage);
                if map.add_device_tree(&changed).is_err() {
                    refused += 1;
                    assert!(ram(&map).is_empty());
                }
                changed[at] = tree[at];
            }
        }
        assert!(refused > 0);
    }
}
