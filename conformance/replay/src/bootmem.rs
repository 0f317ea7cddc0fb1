//! Registers boot metadata as the recorded kernels did: memmaps and usages of sections, data of nodes.
//!
//! Tags lie in the descriptors themselves, so a later step that overwrites descriptors changes the counts of tags.
//!
//! # Invariants
//!
//! 1. Node data belongs to the kernel and not to a model, so the replay allocates it before the boot.

use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet};

use sparsemem_bootmem_registration::{
    BootmemTag, DescriptorTags, Piece, PieceSlot, Registry, SectionMetadata, SectionSlot, Storage,
};
use sparsemem_core::{
    Block, MemoryModel, MetadataMemory, MetadataModel, MetadataUse, NodeId, PageCount, Pfn, PfnRange,
    SectionFlags, SectionNr,
};
use sparsemem_machine::Machine;

use super::environment::bytes_of;
use super::facts::Facts;
use super::kernel::Geo;
use super::recorded::note_tags;
use super::script::Script;

/// The number of pages of a node's data.
const NODE_PAGES: usize = 4;
/// Bytes of a page.
const PAGE: usize = 4096;
/// The largest number of registered pieces per section: a memmap in parts, and a usage.
const PIECES: usize = 4;

/// Memory for the registry's records.
pub(super) struct Records {
    sections: Vec<SectionSlot>,
    pieces: Vec<PieceSlot>,
}

impl Records {
    /// Memory for all records of a recording; none if the recording has no tags.
    pub(super) fn new(script: &Script, sections: usize) -> Self {
        let sections = if script.tags.is_some() { sections } else { 0 };
        let pieces = sections * PIECES + script.memory.len();
        Self { sections: vec![SectionSlot::EMPTY; sections], pieces: vec![PieceSlot::EMPTY; pieces] }
    }
}

/// The nodes of a recording with the blocks of their data.
pub(super) type NodeData = BTreeMap<NodeId, Block>;

/// Allocates the data of every node.
pub(super) fn node_data(script: &Script, machine: &mut Machine) -> Result<NodeData, String> {
    let layout = Layout::from_size_align(NODE_PAGES * PAGE, PAGE).map_err(|error| error.to_string())?;
    let nodes: BTreeSet<NodeId> = script.memory.iter().map(|(_, node)| *node).collect();
    let data = |node| machine.alloc_zeroed(layout, node).map(|block| (node, block));
    nodes.into_iter().map(data).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// The records of boot, of a model whose type no longer counts.
pub(super) trait Registered {
    /// Removes sections from the registry after the model has removed them.
    fn follow(&mut self);
    /// Notes the tags of all pages that have one.
    fn note(&self, facts: &mut Facts, script: &Script);
}

/// A function that registers the metadata of boot: models that do not say where it lies have none.
pub(super) type Register<M> = for<'m> fn(
    &'m M,
    &Machine,
    &'m mut Records,
    &[(SectionNr, NodeId)],
    &NodeData,
) -> Result<Box<dyn Registered + 'm>, String>;

/// The registry with the records of boot.
struct Bootmem<'m, M: MemoryModel> {
    registry: Registry<'m, M::Geometry, DescriptorTags<'m, M>>,
    model: &'m M,
}

/// Registers all sections and nodes. The recorded kernels registered no roots and no page tables.
pub(super) fn register<'m, M>(
    model: &'m M,
    machine: &Machine,
    records: &'m mut Records,
    nodes: &[(SectionNr, NodeId)],
    data: &NodeData,
) -> Result<Box<dyn Registered + 'm>, String>
where
    M: MetadataModel<Machine> + MemoryModel<Page: BootmemTag>,
{
    let Records { sections, pieces } = records;
    let mut registry = Registry::new(DescriptorTags::new(model), Storage { sections, pieces });
    let mut writer = model.write().ok_or("another writer has the model")?;
    for (nr, node) in nodes {
        let (mut memmap, mut usage) = (Vec::new(), Vec::new());
        writer.each_metadata(machine, *nr, &mut |block| match block.of {
            MetadataUse::Memmap => memmap.push(block.bytes),
            MetadataUse::Usage => usage.push(block.bytes),
            _ => {}
        });
        let metadata = SectionMetadata { memmap: &memmap, usage: &usage, tables: &[] };
        registry.register_section(*nr, *node, metadata).map_err(|error| error.to_string())?;
    }
    for (node, block) in data {
        registry.register_node(*node, &[bytes_of(block)]).map_err(|error| error.to_string())?;
    }
    Ok(Box::new(Bootmem { registry, model }))
}

impl<M: MemoryModel<Page: BootmemTag>> Registered for Bootmem<'_, M> {
    /// A section that holds metadata of others stays registered, because in the recorded kernel that metadata lay
    /// elsewhere. Its pages have no descriptors any more, so their tags are not counted.
    fn follow(&mut self) {
        let gone = |nr: &SectionNr| !self.model.section(*nr).flags.contains(SectionFlags::PRESENT);
        let gone: Vec<SectionNr> = self.registry.sections().map(|(nr, _)| nr).filter(gone).collect();
        for nr in gone {
            let _ = self.registry.release_section(nr, &mut |_| {});
        }
    }

    fn note(&self, facts: &mut Facts, script: &Script) {
        let pages: BTreeSet<_> = self
            .registry
            .pieces()
            .map(Piece::pages::<Geo>)
            .flat_map(|run| run.start().get()..run.end().get())
            .collect();
        let tagged = pages.into_iter().map(Pfn::new).filter_map(|page| {
            let tag = self.registry.tag(page).ok().flatten()?;
            let run = PfnRange::from_start_count(page, PageCount::new(1))?;
            Some((tag.kind().code(), tag.id(), run))
        });
        note_tags(facts, script, tagged);
    }
}
