//! DIMMs of several nodes.

use sparsemem::{MemoryModel, NodeId, SectionShape};
use sparsemem_suite::Complete;

use super::host::Wish;
use super::trouble::{holds, same};
use super::{Kernel, Site, Told, Trouble};

/// Two DIMMs of two nodes, one behind the other: their memory blocks belong to their nodes, and go one by one.
pub(super) fn two_nodes<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let wishes = [("on-0", 0), ("on-1", 1)]
        .map(|(id, node)| Wish::new(id, M::Geometry::SECTION_SIZE).on(NodeId::new(node)));
    let before = [0, 1].map(|node| blocks_of(site, NodeId::new(node)));
    let first = site.plug_online(&wishes[0])?;
    let second = site.plug_online(&wishes[1])?;
    let after = [0, 1].map(|node| blocks_of(site, NodeId::new(node)));
    same("memory blocks of both nodes", &before.map(|count| count + 1), &after)?;
    for (dimm, frames) in [&first, &second] {
        let used = site.use_frames(*frames, 4)?;
        holds("frames lie in the DIMM", used.iter().all(|frame| frames.contains(*frame)))?;
        site.put_frames(used);
        same("blocks and slot agree on the node", &Some(dimm.node), &node_of(site, *frames))?;
    }
    site.give_up("on-0", &first.0)?;
    same("the other node's memory stays", &Some(NodeId::new(1)), &node_of(site, second.1))?;
    site.give_up("on-1", &second.0)?;
    Ok(Told::Well)
}

/// Memory blocks of a node.
fn blocks_of<M, K>(site: &Site<'_, M, K>, node: NodeId) -> usize
where
    M: MemoryModel,
{
    site.hotplug.blocks().iter().filter(|block| block.node == Some(node)).count()
}

/// The node of the memory block that a range begins with.
fn node_of<M, K>(site: &Site<'_, M, K>, frames: sparsemem::PfnRange) -> Option<NodeId>
where
    M: MemoryModel,
{
    let nr = frames.start().section::<M::Geometry>().get();
    // A memory block of this kernel is a section.
    site.hotplug.blocks().get(sparsemem_hotplug::BlockNr::new(nr)).and_then(|block| block.node)
}
