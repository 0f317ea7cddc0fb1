//! Every model boots in the memory that it asked for beforehand, from a block of any alignment.

use std::alloc::Layout;

use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    BootModel, Geometry, MemoryRange, MetadataMemory, NodeId, Page, Pfn, PfnRange, PhysAddr, SectionShape,
};
use sparsemem_environments::BootArena;
use sparsemem_fixture::{Backend, Fixture, Wide, any_model, on_every_backend, usual_machine};
use sparsemem_machine::{HostRcu, Machine};

on_every_backend!(every_geometry, descriptors_of_any_size);

/// Frames of sections, in parts per 16, of a node.
const MAPS: &[&[(u64, u64, u32)]] = &[
    &[(0, 16, 0)],
    &[(0, 1, 0), (1, 15, 0)],
    &[(40, 48, 1), (0, 30, 0), (33, 36, 0), (20, 40, 0)],
    &[(0, 112, 0)],
    &[(112, 128, 0), (0, 1, 0)],
];

fn memory<G: Geometry>(map: &[(u64, u64, u32)]) -> impl Iterator<Item = MemoryRange> + Clone {
    let pfn = |part| Pfn::new(part * G::PAGES_PER_SECTION / 16);
    map.iter().map(move |(start, end, node)| MemoryRange {
        frames: PfnRange::new(pfn(*start), pfn(*end)).unwrap(),
        node: NodeId::new(*node),
    })
}

/// Boots in an arena of exactly the bytes that the model asked for, `skew` bytes behind a border of 2 MiB.
fn boot<M>(fixture: Fixture<M>, map: &[(u64, u64, u32)], skew: usize)
where
    M: BootModel<BootArena<Machine>>,
{
    let Fixture { mut model, mut machine } = fixture;
    let memory = memory::<M::Geometry>(map);
    let bytes = model.boot_bytes(memory.clone());
    let size = usize::try_from(bytes.get()).unwrap() + skew;
    let block =
        machine.alloc_zeroed(Layout::from_size_align(size, 2 << 20).unwrap(), NodeId::new(0)).unwrap();
    // SAFETY: the block is the machine's, and ours.
    unsafe { block.start().write_bytes(0xff, size) };
    let take = |asked| {
        assert_eq!(asked, bytes);
        Some(PhysAddr::new(block.phys().get() + skew as u64))
    };
    // SAFETY: as above.
    let mut arena = unsafe { BootArena::new(machine, bytes, take) }.unwrap();
    let mut events = Vec::new();
    let summary = model.write().unwrap().boot(&mut arena, memory, &mut |event| events.push(event)).unwrap();
    assert!(summary.sections > 0 && summary.lost == 0, "{}: {map:?}, {skew}: {events:?}", model.name());
    let footprint = model.footprint();
    let used = footprint.usage_bytes + footprint.memmap_bytes + footprint.page_table_bytes;
    // Few pages per section more, and some for the boot. Where a section's descriptors fill no power of two, large mappings
    // may begin and end outside of it.
    let section = size_of::<M::Page>() as u64 * M::Geometry::PAGES_PER_SECTION;
    let outside = if section.is_power_of_two() { 0 } else { summary.sections * (4 << 20) };
    let beside = (summary.sections * 7 + 32) * M::Geometry::PAGE_SIZE;
    assert!(bytes.get() <= used + outside + beside, "{}: {map:?}: {bytes} for {used}", model.name());
    model.tear_down(&mut arena).unwrap();
}

/// Boots with every map from blocks of every alignment.
macro_rules! every_map {
    ($backend:expr, $geometry:ty, $page:ty, $skews:expr) => {
        for (map, skew) in MAPS.iter().flat_map(|map| $skews.map(|skew| (*map, skew))) {
            type Model = any_model!($geometry, $page, HostRcu<()>);
            boot(Fixture::<Model>::new($backend, &usual_machine()).unwrap(), map, skew);
        }
    };
}

fn every_geometry(backend: Backend) {
    every_map!(backend, Tiny, Page, [0, 8, 4096, 1 << 20]);
    every_map!(backend, X86_64, Page, [0, 8, 1 << 20]);
}

fn descriptors_of_any_size(backend: Backend) {
    every_map!(backend, X86_64, Wide<0>, [4096]);
    every_map!(backend, X86_64, Wide<2>, [4096]);
    every_map!(backend, X86_64, Wide<3>, [4096]);
    every_map!(backend, X86_64, Wide<5>, [4096]);
}
