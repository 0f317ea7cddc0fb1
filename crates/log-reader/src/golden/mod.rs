//! Facts that a kernel derived from its map and printed in its log, to compare models with.
//!
//! # Invariants
//!
//! 1. A fact that the log does not have is empty or `None`, never zero.
//! 2. A line that has a fact and cannot be read is an error; there is no lenient mode.

mod read;

use std::collections::BTreeMap;

use sparsemem_core::{ByteLen, NodeId, PageCount, PhysRange, VirtRange};

use crate::line::Line;
use crate::{LineError, ParseErrors};

/// The derived facts of one kernel log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Golden {
    /// `Early memory node ranges`, as printed.
    pub early_node_ranges: Vec<(PhysRange, NodeId)>,
    /// `On node 0 totalpages: ..`.
    pub total_pages: BTreeMap<NodeId, PageCount>,
    /// Pages of present sections that are not memory.
    pub unavailable: Option<Unavailable>,
    /// Runs of vmemmap for which the kernel populated huge mappings.
    pub vmemmap_runs: Vec<VmemmapRun>,
    /// Bytes of a memory block.
    pub memory_block_bytes: Option<ByteLen>,
    /// The places of the node structures.
    pub node_data: Vec<NodeData>,
    /// The zones with their limits; no range for an empty one.
    pub zones: Vec<Zone>,
    /// `Initmem setup node 0 [mem ..]`: from the first to the last byte of a node; no range for one without memory.
    pub node_spans: BTreeMap<NodeId, Option<PhysRange>>,
    /// `Memory: ../..K available`: the memory of the machine, without the part that the line calls absent.
    pub present_bytes: Option<ByteLen>,
    /// Ranges that `lsmem` of the same boot shows online.
    pub online: Vec<PhysRange>,
    /// `Total RAM: ..` of PowerPC.
    pub total_ram_bytes: Option<ByteLen>,
}

impl Golden {
    /// The blocks of 2 MiB that the kernel populated for vmemmap, by node.
    #[must_use]
    pub fn vmemmap_blocks(&self) -> BTreeMap<NodeId, u64> {
        let mut blocks: BTreeMap<NodeId, u64> = BTreeMap::new();
        for run in &self.vmemmap_runs {
            *blocks.entry(run.node).or_default() += run.blocks();
        }
        blocks
    }
}

/// The number of pages of present sections that are not memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// `Zeroed struct page in unavailable ranges: .. pages`.
    Total(PageCount),
    /// `On node 0, zone DMA: .. pages in unavailable ranges`, and the form without a node.
    ByZone(Vec<UnavailableInZone>),
}

impl Unavailable {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> PageCount {
        match self {
            Self::Total(pages) => *pages,
            Self::ByZone(rows) => {
                PageCount::new(rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.pages.get())))
            }
        }
    }
}

/// One hole of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailableInZone {
    /// The node, if the line names one.
    pub node: Option<NodeId>,
    /// The zone's name.
    pub zone: String,
    /// Pages of the hole.
    pub pages: PageCount,
}

/// A run of vmemmap with huge mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmemmapRun {
    /// The range from the first to the last descriptor; it may bridge holes that are not populated.
    pub descriptors: VirtRange,
    /// The memory that the descriptors lie in, by its place in the direct map: as long as the kernel really populated.
    pub backing: VirtRange,
    /// The node that the kernel populated it for.
    pub node: NodeId,
}

impl VmemmapRun {
    /// Bytes of a huge mapping.
    pub const BLOCK_BYTES: u64 = 2 << 20;

    /// The number of blocks of 2 MiB that the kernel populated.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.backing.count().get() / Self::BLOCK_BYTES
    }
}

/// The place of a node structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeData {
    /// The node, if the log names it.
    pub node: Option<NodeId>,
    /// The place.
    pub range: PhysRange,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its limits, unless it is empty.
    pub range: Option<PhysRange>,
}

/// Reads the facts out of a kernel log.
///
/// ```
/// use sparsemem_core::{NodeId, PageCount};
/// use sparsemem_log_reader::golden::parse;
///
/// let facts = parse("On node 0 totalpages: 783967\n")?;
/// assert_eq!(facts.total_pages[&NodeId::new(0)], PageCount::new(783_967));
/// # Ok::<(), sparsemem_log_reader::ParseErrors>(())
/// ```
///
/// # Errors
///
/// [`ParseErrors::Malformed`] with every line that has a fact and cannot be read.
pub fn parse(text: &str) -> Result<Golden, ParseErrors> {
    let mut reader = read::Reader::default();
    let mut errors = Vec::new();
    for (raw, number) in text.lines().zip(1..) {
        if let Some(Err(reason)) = reader.line(&Line::new(raw)) {
            errors.push(LineError::new(number, raw, reason));
        }
    }
    if errors.is_empty() { Ok(reader.golden) } else { Err(ParseErrors::Malformed(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::between;

    #[test]
    fn facts_of_a_new_kernel() {
        let golden = parse(
            "[0.1] NODE_DATA(1) allocated [mem 0x2000-0x2fff]\n\
             [0.1] Zone ranges:\n\
             [0.1]   DMA      [mem 0x0000000000001000-0x0000000000ffffff]\n\
             [0.1]   Device   empty\n\
             [0.1] Movable zone start for each node\n\
             [0.1] Early memory node ranges\n\
             [0.1]   node   1: [mem 0x0000000000001000-0x000000000009efff]\n\
             [0.1] Initmem setup node 1 [mem 0x0000000000001000-0x00000004ffffffff]\n\
             [0.1] Initmem setup node 2 as memoryless\n\
             [0.1] On node 1, zone DMA: 1 pages in unavailable ranges\n\
             [0.1] On node 1, zone DMA32: 96 pages in unavailable ranges\n\
             [0.1] Memory: 1K/1610305216K available (16384K kernel code, 0K cma-reserved)\n\
             [0.1] x86/mm: Memory block size: 2048MB\n",
        )
        .unwrap();
        let (one, two) = (NodeId::new(1), NodeId::new(2));
        assert_eq!(golden.early_node_ranges, [(between(0x1000, 0x9f000), one)]);
        assert_eq!(golden.unavailable.unwrap().total(), PageCount::new(97));
        assert_eq!(golden.node_data, [NodeData { node: Some(one), range: between(0x2000, 0x3000) }]);
        assert_eq!(golden.zones.len(), 2);
        assert_eq!(golden.node_spans.get(&two), Some(&None));
        assert_eq!(golden.present_bytes, Some(ByteLen::new(1_610_305_216 << 10)));
        assert_eq!(golden.memory_block_bytes, Some(ByteLen::new(2 << 30)));
    }

    #[test]
    fn facts_of_an_old_kernel() {
        let golden = parse(
            "Initmem setup node 0 0000000000000000-00000000bf6d0000\n  NODE_DATA [00000000bf6c6000 - 00000000bf6cafff]\n\
             [ffffea0000000000-ffffea00029fffff] PMD -> [ffff8800bbe00000-ffff8800be7fffff] on node 0\n\
             Zone PFN ranges:\n  DMA      0x00000010 -> 0x00001000\n  Normal   empty\n\
             early_node_map[2] active PFN ranges\n    0: 0x00000010 -> 0x0000009f\n\
             On node 0 totalpages: 783967\n  DMA zone: 28788 pages in unavailable ranges\n\
             Memory: 2928536k/3136320k available (6104k kernel code, 452k absent, 207332k reserved)\n",
        )
        .unwrap();
        assert_eq!(golden.vmemmap_runs[0].blocks(), 21);
        assert_eq!(golden.vmemmap_blocks(), BTreeMap::from([(NodeId::new(0), 21)]));
        assert_eq!(golden.node_data[0].node, Some(NodeId::new(0)));
        assert_eq!(golden.zones[0].range, Some(between(0x1_0000, 0x100_0000)));
        assert_eq!(golden.early_node_ranges[0].0, between(0x1_0000, 0x9_f000));
        assert_eq!(golden.total_pages[&NodeId::new(0)], PageCount::new(783_967));
        assert_eq!(golden.present_bytes, Some(ByteLen::new(783_967 << 12)));
    }

    #[test]
    fn a_broken_fact_is_an_error_with_its_line() {
        let errors = parse("fine\nOn node x totalpages: 5\nOn node 0 totalpages: 5p\n").unwrap_err();
        assert_eq!(errors.lines().iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3]);
    }
}
