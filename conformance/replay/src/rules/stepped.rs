//! The sections of boot that Linux does not register.
//!
//! Source: Linux `register_page_bootmem_info_node`, 6.1 and 6.12.

use std::collections::BTreeSet;

use sparsemem_core::{NodeId, PageCount, Pfn, PfnRange, PhysRange, SectionNr, SectionShape};

use crate::kernel::Geo;

/// The sections of some memory of boot over which the walk of every node steps. A node's walk begins with its first frame
/// and looks at one frame in each section; it registers the section if the frame is the node's.
pub(super) fn over(memory: &[(PhysRange, NodeId)]) -> BTreeSet<SectionNr> {
    let frames: Vec<(PfnRange, NodeId)> = memory
        .iter()
        .map(|(range, node)| (range.whole_frames::<Geo>(), *node))
        .filter(|(range, _)| !range.is_empty())
        .collect();
    let all: BTreeSet<SectionNr> =
        frames.iter().flat_map(|(range, _)| range.by_section::<Geo>()).map(|(nr, _)| nr).collect();
    let nodes: BTreeSet<NodeId> = frames.iter().map(|(_, node)| *node).collect();
    let visited: BTreeSet<SectionNr> = nodes.iter().flat_map(|node| walk(&frames, *node)).collect();
    all.difference(&visited).copied().collect()
}

/// The sections that the walk of a node registers, if they are there.
fn walk(memory: &[(PfnRange, NodeId)], node: NodeId) -> Vec<SectionNr> {
    let own = memory.iter().filter(|(_, owner)| *owner == node).map(|(range, _)| *range);
    let Some(start) = own.clone().map(PfnRange::start).min() else { return Vec::new() };
    let end = own.map(PfnRange::end).max().unwrap_or(start);
    let step = PageCount::new(Geo::PAGES_PER_SECTION);
    let frames =
        std::iter::successors(Some(start), |frame| frame.checked_add(step)).take_while(|frame| *frame < end);
    frames.filter(|frame| owner(memory, *frame) == Some(node)).map(Pfn::section::<Geo>).collect()
}

/// The node of a frame; in a hole, the first node.
fn owner(memory: &[(PfnRange, NodeId)], frame: Pfn) -> Option<NodeId> {
    let found = memory.iter().find(|(range, _)| range.contains(frame)).map(|(_, node)| *node);
    found.or_else(|| memory.iter().map(|(_, node)| *node).min())
}

#[cfg(test)]
mod tests {
    use sparsemem_core::PhysAddr;

    use super::*;

    /// Memory in MiB.
    fn over_mib(rows: &[(u32, u64, u64)]) -> Vec<u64> {
        let row = |(node, start, end): &(u32, u64, u64)| {
            (
                PhysRange::new(PhysAddr::new(start << 20), PhysAddr::new(end << 20)).unwrap(),
                NodeId::new(*node),
            )
        };
        over(&rows.iter().map(row).collect::<Vec<_>>()).into_iter().map(SectionNr::get).collect()
    }

    #[test]
    fn the_last_section_of_a_node_that_begins_inside_a_section_is_stepped_over() {
        assert_eq!(over_mib(&[(0, 0, 1040), (1, 1040, 1288)]), [10]);
        assert!(
            over_mib(&[(0, 0, 1040), (1, 1040, 1300)]).is_empty(),
            "the last step still finds the section"
        );
        assert!(over_mib(&[(0, 0, 1024), (1, 1024, 1288)]).is_empty(), "the node begins with a section");
    }

    #[test]
    fn a_step_into_a_hole_counts_for_the_first_node() {
        assert!(over_mib(&[(0, 0, 100), (0, 256, 300), (0, 400, 500)]).is_empty());
        assert_eq!(
            over_mib(&[(0, 0, 128), (1, 144, 256), (1, 320, 384)]),
            [2],
            "the step at 272 MiB is a hole"
        );
    }
}
