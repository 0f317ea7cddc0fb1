//! The plain section model: the sections that a kernel with sections of 128 MiB and frames of 4 KiB makes of memory
//! ranges.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{NodeId, PhysRange, SectionShape};
use sparsemem_log_reader::golden::VmemmapRun;

/// Memory, as whole frames by node, lowest first.
pub(crate) struct Sections {
    /// Frames of each present section that are memory.
    memory: BTreeMap<u64, u64>,
    /// The node that named the section first.
    node: BTreeMap<u64, NodeId>,
}

impl Sections {
    /// Marks the sections of memory ranges.
    pub(crate) fn new(ranges: &[(PhysRange, NodeId)]) -> Self {
        let mut sections = Self { memory: BTreeMap::new(), node: BTreeMap::new() };
        for &(range, node) in ranges {
            for (nr, part) in range.whole_frames::<X86_64>().by_section::<X86_64>() {
                *sections.memory.entry(nr.get()).or_default() += part.count().get();
                sections.node.entry(nr.get()).or_insert(node);
            }
        }
        sections
    }

    /// Pages of present sections that are not memory.
    pub(crate) fn unavailable_pages(&self) -> u64 {
        self.memory.values().map(|frames| X86_64::PAGES_PER_SECTION - frames).sum()
    }

    /// Blocks of vmemmap that the descriptors of present sections need. A block that several need belongs to the one
    /// that is populated first, the lowest.
    pub(crate) fn vmemmap_blocks(&self, descriptor_bytes: u64) -> BTreeMap<NodeId, u64> {
        let (mut blocks, mut by_node) = (BTreeSet::new(), BTreeMap::new());
        let section_bytes = X86_64::PAGES_PER_SECTION * descriptor_bytes;
        for (nr, node) in &self.node {
            let (start, end) = (nr * section_bytes, (nr + 1) * section_bytes);
            let fresh = (start / VmemmapRun::BLOCK_BYTES..end.div_ceil(VmemmapRun::BLOCK_BYTES))
                .filter(|block| blocks.insert(*block));
            *by_node.entry(*node).or_default() += fresh.count() as u64;
        }
        by_node
    }
}
