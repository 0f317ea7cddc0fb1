//! Registering and releasing, with tags in a slice: counts, kinds, fates, and bad input for each operation.

mod fates;
mod pinned;
mod random;
mod refusals;
mod stores;

use std::alloc::Layout;
use std::ptr::NonNull;

use sparsemem_bootmem_registration::{
    Fate, MetadataKind, PageRun, Piece, PieceSlot, Registry, Released, SectionMetadata, SectionSlot,
    SliceTags, Storage, Tag, TagStore,
};
use sparsemem_core::presets::TinyWide;
use sparsemem_core::{Block, NodeId, Origin, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr};

/// Pages of a section.
const SECTION: u64 = 64;
const NODE: NodeId = NodeId::new(0);

type Reg<'r, 's> = Registry<'r, TinyWide, SliceTags<'s>>;

fn nr(section: u64) -> SectionNr {
    SectionNr::new(section)
}

/// `len` bytes from byte `offset` of a page on.
fn at(page: u64, offset: u64, len: u64) -> PhysRange {
    let start = (page << 12) + offset;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(start + len)).unwrap()
}

fn pages(first: u64, count: u64) -> PhysRange {
    at(first, 0, count << 12)
}

fn run(first: u64, count: u64, fate: Fate) -> PageRun {
    let pages = PfnRange::from_start_count(Pfn::new(first), PageCount::new(count)).unwrap();
    PageRun { pages, fate }
}

/// A block of boot at these bytes, which nobody touches.
fn block(bytes: PhysRange, origin: Origin) -> Block {
    let layout = Layout::from_size_align(usize::try_from(bytes.count().get()).unwrap(), 1).unwrap();
    // SAFETY: the registry looks at the numbers only, and the block is never given to a provider.
    unsafe { Block::from_parts(NonNull::dangling(), bytes.start(), layout, origin) }
}

/// A registry with sections 0 to 3, without metadata, and with its tags in a slice.
fn with<T>(ask: impl FnOnce(&mut Reg<'_, '_>) -> T) -> T {
    of_nodes([0; 4], ask)
}

/// The same with a node for each section.
fn of_nodes<T>(nodes: [u32; 4], ask: impl FnOnce(&mut Reg<'_, '_>) -> T) -> T {
    with_store(SliceTags::new(Pfn::new(0), &mut vec![0; 4096]), nodes, ask)
}

/// The same with its tags in any store.
fn with_store<S: TagStore, T>(
    store: S,
    nodes: [u32; 4],
    ask: impl FnOnce(&mut Registry<'_, TinyWide, S>) -> T,
) -> T {
    let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 6], [PieceSlot::EMPTY; 12]);
    let storage = Storage { sections: &mut sections, pieces: &mut pieces };
    let mut registry = Registry::new(store, storage);
    for (section, node) in (0..).zip(nodes) {
        registry.register_section(nr(section), NodeId::new(node), SectionMetadata::default()).unwrap();
    }
    ask(&mut registry)
}

/// Pieces, sections and tags.
type Snapshot = (Vec<Piece>, Vec<(SectionNr, NodeId)>, Vec<Option<Tag>>);

/// Everything that can be seen of a registry.
fn snapshot(registry: &Reg<'_, '_>) -> Snapshot {
    let tags = (0..4096).map(|page| registry.tag(Pfn::new(page)).unwrap()).collect();
    (registry.pieces().copied().collect(), registry.sections().collect(), tags)
}

fn tag(registry: &Reg<'_, '_>, page: u64) -> Option<(MetadataKind, u64, u32)> {
    registry.tag(Pfn::new(page)).unwrap().map(|tag| (tag.kind(), tag.id(), tag.users()))
}

fn release(registry: &mut Reg<'_, '_>, section: u64) -> (Vec<PageRun>, Released) {
    let mut runs = Vec::new();
    let released = registry.release_section(nr(section), &mut |run| runs.push(run)).unwrap();
    (runs, released)
}
