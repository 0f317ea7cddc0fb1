//! Metadata near the memory that it is of: on its node, as long as that has room.

use alloc::vec;
use alloc::vec::Vec;

use sparsemem::{MemoryModel, NodeId, PfnRange, SectionNr, SectionShape};
use sparsemem_hotplug::BlockNr;
use sparsemem_suite::Complete;

use super::altmap::home_of;
use super::host::Wish;
use super::trouble::same;
use super::{Kernel, Site, Told, Trouble};

/// The node that has no memory when the machine is started.
const BARE: NodeId = NodeId::new(2);

/// At boot every memmap lies on its node. A node without memory gets the memmap of its first DIMM from others, and that of
/// its second from the first.
pub(super) fn near_its_node<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    at_boot(site, &[0, 1])?;
    let [first, second] = ["first", "second"].map(|id| Wish::new(id, M::Geometry::SECTION_SIZE).on(BARE));
    let (first, frames) = site.plug_online(&first)?;
    same("the home of the first memmap of a bare node", &vec![NodeId::new(0)], &homes(site, frames))?;
    let (second, frames) = site.plug_online(&second)?;
    same("the home of the second", &vec![BARE], &homes(site, frames))?;
    site.give_up("second", &second)?;
    site.give_up("first", &first)?;
    Ok(Told::Well)
}

/// Memory that no node is said to have is node 0's, and so is the home of its memmap.
pub(super) fn nobody_s<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    at_boot(site, &[1, 0, 1])?;
    Ok(Told::Well)
}

/// Fails unless the sections of boot belong to these nodes, one after the other, and their memmaps lie there.
fn at_boot<M, K>(site: &Site<'_, M, K>, nodes: &[u32]) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let sections: Vec<SectionNr> = site.model.present_sections().collect();
    same("sections of boot", &nodes.len(), &sections.len())?;
    for (nr, node) in sections.iter().zip(nodes) {
        let (frames, node) = (nr.frames::<M::Geometry>().unwrap_or_default(), NodeId::new(*node));
        same("the node of a section", &Some(node), &node_of(site, *nr))?;
        same("the home of its memmap", &vec![node], &homes(site, frames))?;
    }
    Ok(())
}

/// The nodes of the memory that the descriptors of the valid parts of `frames` begin and end in.
fn homes<M, K>(site: &Site<'_, M, K>, frames: PfnRange) -> Vec<NodeId>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let ends = site
        .model
        .valid_ranges(frames)
        .flat_map(|run| [run.start(), sparsemem::Pfn::new(run.end().get() - 1)]);
    let places = ends.filter_map(|frame| home_of(site, frame));
    let mut nodes: Vec<NodeId> =
        places.filter_map(|place| node_of(site, place.section::<M::Geometry>())).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The node of a section, which is a memory block of this kernel.
fn node_of<M: MemoryModel, K>(site: &Site<'_, M, K>, nr: SectionNr) -> Option<NodeId> {
    site.hotplug.blocks().get(BlockNr::new(nr.get())).and_then(|block| block.node)
}
