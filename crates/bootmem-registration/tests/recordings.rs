//! The pages that a Linux 6.12 without virtual memmap had registered, one by one.
//!
//! The numbers are from the recordings `novmemmap-numa-2` and `novmemmap-holes`: where the memmaps lie, which page the
//! usages share, where the node's data is. Registered here, every page gets the kind and number that Linux gave it.

use sparsemem_bootmem_registration::{
    PageUse, PieceSlot, Registry, Removal, SearchSlot, SectionMetadata, SectionSlot, SliceTags, Storage,
};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{NodeId, Pfn, PhysAddr, PhysRange, SectionNr};

/// A run of tagged pages: first, end, type, section or node.
type Run = (u64, u64, u8, u64);

/// A node as it was recorded.
struct Node {
    node: u32,
    /// Sections, in the order of their memmaps.
    sections: &'static [u64],
    /// First page of the first memmap; each has 512 pages, one behind the other.
    memmaps: u64,
    /// The page of the usages.
    usages: u64,
    /// Pages of the node's data.
    data: (u64, u64),
}

const TWO_NODES: [Node; 2] = [
    Node { node: 0, sections: &[0, 1, 2, 3], memmaps: 128_512, usages: 131_067, data: (131_068, 131_072) },
    Node { node: 1, sections: &[4, 5, 6, 7], memmaps: 259_584, usages: 261_670, data: (261_674, 261_678) },
];

const HOLES: [Node; 1] = [Node {
    node: 0,
    sections: &[0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 32, 33, 34, 35, 36, 37, 38, 39],
    memmaps: 1_267_200,
    usages: 1_278_530,
    data: (1_278_535, 1_278_539),
}];

/// Bytes of a usage in that kernel: an RCU head and 64 pageblocks of four bits.
const USAGE: u64 = 48;

fn pages(start: u64, end: u64) -> PhysRange {
    bytes(start << 12, (end - start) << 12)
}

fn bytes(start: u64, len: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(start + len)).unwrap()
}

/// Registers nodes, gives the registry to `check`, and answers with the runs of tags.
fn register(nodes: &[Node], check: impl FnOnce(&Registry<'_, X86_64, SliceTags<'_>>)) -> Vec<Run> {
    let mut words = vec![0; 1 << 21];
    let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 32], [PieceSlot::EMPTY; 64]);
    let storage = Storage { sections: &mut sections, pieces: &mut pieces };
    let mut registry = Registry::<X86_64, _>::new(SliceTags::new(Pfn::new(0), &mut words), storage);
    for node in nodes {
        for (index, nr) in (0..).zip(node.sections) {
            let memmap = [pages(node.memmaps + 512 * index, node.memmaps + 512 * (index + 1))];
            let usage = [bytes((node.usages << 12) + USAGE * index, USAGE)];
            let metadata = SectionMetadata { memmap: &memmap, usage: &usage, tables: &[] };
            registry.register_section(SectionNr::new(*nr), NodeId::new(node.node), metadata).unwrap();
        }
        registry.register_node(NodeId::new(node.node), &[pages(node.data.0, node.data.1)]).unwrap();
    }
    check(&registry);
    runs(&registry)
}

/// The tags of the first 8 GiB, joined to runs as in the recordings.
fn runs(registry: &Registry<'_, X86_64, SliceTags<'_>>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for page in 0..1 << 21 {
        let Some(tag) = registry.tag(Pfn::new(page)).unwrap() else { continue };
        let (kind, id) = (tag.kind().code(), tag.id());
        match runs.last_mut() {
            Some(last) if (last.1, last.2, last.3) == (page, kind, id) => last.1 += 1,
            _ => runs.push((page, page + 1, kind, id)),
        }
    }
    runs
}

fn plan(registry: &Registry<'_, X86_64, SliceTags<'_>>, nr: u64) -> Vec<u64> {
    let (mut slots, mut steps) = ([SearchSlot::default(); 32], [SectionNr::new(0); 32]);
    match registry.removal_plan(SectionNr::new(nr), &mut slots, &mut steps).unwrap() {
        Removal::Order(order) => order.iter().map(|nr| nr.get()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_nodes_are_tagged_as_linux_tagged_them() {
    let recorded = [
        (128_512, 129_024, 12, 0),
        (129_024, 129_536, 12, 1),
        (129_536, 130_048, 12, 2),
        (130_048, 130_560, 12, 3),
        (131_067, 131_068, 13, 3),
        (131_068, 131_072, 14, 0),
        (259_584, 260_096, 12, 4),
        (260_096, 260_608, 12, 5),
        (260_608, 261_120, 12, 6),
        (261_120, 261_632, 12, 7),
        (261_670, 261_671, 13, 7),
        (261_674, 261_678, 14, 1),
    ];
    let found = register(&TWO_NODES, |registry| {
        assert_eq!(registry.tag(Pfn::new(131_067)).unwrap().unwrap().users(), 4);
        // Sections 3 and 7 hold all metadata of their nodes, their own among it.
        assert_eq!(registry.own_memmap_pages(SectionNr::new(3)).count(), 512);
        assert_eq!(registry.own_memmap_pages(SectionNr::new(0)).count(), 0);
        assert_eq!(registry.page_use(Pfn::new(130_048)), PageUse::Own);
        assert!(matches!(registry.page_use(Pfn::new(128_512)), PageUse::InUse(_)));
        assert_eq!((plan(registry, 3), plan(registry, 7)), (vec![0, 1, 2, 3], vec![4, 5, 6, 7]));
        assert_eq!(plan(registry, 5), [5]);
    });
    assert_eq!(found, recorded);
}

#[test]
fn a_machine_with_holes_is_tagged_as_linux_tagged_it() {
    let sections = HOLES[0].sections;
    let mut recorded: Vec<Run> = (0..)
        .zip(sections)
        .map(|(index, nr)| (1_267_200 + 512 * index, 1_267_712 + 512 * index, 12, *nr))
        .collect();
    recorded.extend([(1_278_530, 1_278_531, 13, 39), (1_278_535, 1_278_539, 14, 0)]);
    let found = register(&HOLES, |registry| {
        // Section 38 holds the memmaps of all but 39, whose lies in itself; 39 holds everybody's usage.
        assert_eq!(registry.own_memmap_pages(SectionNr::new(38)).count(), 512);
        assert_eq!(registry.own_memmap_pages(SectionNr::new(39)).count(), 512);
        let before: Vec<u64> = sections.iter().copied().filter(|nr| *nr < 38).collect();
        assert_eq!(plan(registry, 38), [before.as_slice(), &[38]].concat());
        assert_eq!(plan(registry, 39), [before.as_slice(), &[38, 39]].concat());
    });
    assert_eq!(found, recorded);
    let section_info: u64 = found.iter().filter(|run| run.2 == 12).map(|run| run.1 - run.0).sum();
    assert_eq!(section_info, 22 * 512);
}
