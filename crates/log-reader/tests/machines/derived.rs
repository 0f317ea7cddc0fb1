//! The facts of a `.golden` file, compared with what follows from the map.

use std::collections::BTreeMap;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{NodeId, PhysRange};
use sparsemem_log_reader::golden::Golden;

use crate::expectations::Difference;
use crate::files::Map;
use crate::sections::Sections;

/// Memory by node.
type Memory = Vec<(PhysRange, NodeId)>;

/// Collects comparisons of one machine.
struct Comparison<'a> {
    file: &'a str,
    compared: usize,
    differences: Vec<Difference>,
}

impl Comparison<'_> {
    fn number(&mut self, fact: &str, expected: u64, actual: u64) {
        self.compared += 1;
        self.differences.extend(Difference::check(self.file, fact, expected, actual));
    }

    /// Compares two lists of ranges: a difference shows the ranges that only one of them has.
    fn ranges(&mut self, fact: &str, expected: &Memory, actual: &Memory) {
        let only = |mine: &Memory, theirs: &Memory| {
            let own = mine.iter().filter(|range| !theirs.contains(range));
            own.map(|(range, node)| format!("{}-{}@{node}", range.start(), range.end()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        self.compared += 1;
        self.differences.extend(Difference::check(
            self.file,
            fact,
            only(expected, actual),
            only(actual, expected),
        ));
    }
}

/// The facts in which the golden file and the map differ.
pub(crate) fn compare(map: &Map, golden: &Golden, descriptor_bytes: Option<u64>) -> Vec<Difference> {
    let memory: Memory = map.parsed.layout.memory_ranges().collect();
    let mut comparison = Comparison { file: &map.name, compared: 0, differences: Vec::new() };
    nodes(&mut comparison, golden, &memory, map);
    totals(&mut comparison, golden, &memory);
    placements(&mut comparison, golden, &memory);
    let sections = Sections::new(&memory);
    if let Some(unavailable) = &golden.unavailable {
        comparison.number("unavailable-pages", unavailable.total().get(), sections.unavailable_pages());
    }
    if !golden.vmemmap_runs.is_empty() {
        let descriptor = descriptor_bytes.unwrap_or_else(|| panic!("{}: no descriptor size", map.name));
        blocks(&mut comparison, golden, &sections.vmemmap_blocks(descriptor));
    }
    assert!(comparison.compared > 0, "{}: no fact was compared", map.golden_name());
    comparison.differences
}

/// Ranges and spans of the nodes.
fn nodes(comparison: &mut Comparison<'_>, golden: &Golden, memory: &Memory, map: &Map) {
    if !golden.early_node_ranges.is_empty() {
        comparison.ranges("early-node-ranges", &merged(&golden.early_node_ranges), memory);
    }
    if !golden.online.is_empty() {
        let online = golden.online.iter().map(|range| (*range, NodeId::new(0))).collect();
        comparison.ranges("online-ranges", &online, memory);
    }
    for (node, span) in &golden.node_spans {
        let span = span.iter().map(|range| (*range, *node)).collect();
        comparison.ranges(&format!("node-span.{node}"), &span, &hull(memory, *node));
        let named = map.parsed.layout.nodes().any(|named| named == *node);
        comparison.number(&format!("node-named.{node}"), 1, named.into());
    }
}

/// Sums of pages and bytes.
fn totals(comparison: &mut Comparison<'_>, golden: &Golden, memory: &Memory) {
    for (node, pages) in &golden.total_pages {
        let of_node = memory.iter().filter(|(_, owner)| owner == node);
        let actual = of_node.map(|(range, _)| range.whole_frames::<X86_64>().count().get()).sum();
        comparison.number(&format!("total-pages.{node}"), pages.get(), actual);
    }
    let bytes: u64 = memory.iter().map(|(range, _)| range.count().get()).sum();
    if let Some(present) = golden.present_bytes {
        comparison.number("present-bytes", present.get(), bytes);
    }
    if let Some(total) = golden.total_ram_bytes {
        comparison.number("total-ram-bytes", total.get(), bytes);
    }
}

/// Node structures lie in memory of their node, and every byte of memory lies in a zone.
fn placements(comparison: &mut Comparison<'_>, golden: &Golden, memory: &Memory) {
    for placed in &golden.node_data {
        let owner =
            memory.iter().find(|(range, _)| range.contains_range(placed.range)).map(|(_, node)| *node);
        let right = owner.is_some() && (placed.node.is_none() || placed.node == owner);
        comparison.number(&format!("node-data-in-memory.{}", placed.range.start()), 1, right.into());
    }
    let zones: Vec<PhysRange> = golden.zones.iter().filter_map(|zone| zone.range).collect();
    if !zones.is_empty() {
        let inside =
            |range: &PhysRange| zones.iter().map(|zone| zone.intersection(*range).count().get()).sum::<u64>();
        let outside = memory.iter().map(|(range, _)| range.count().get() - inside(range)).sum();
        comparison.number("bytes-outside-zones", 0, outside);
    }
}

/// Populated blocks of vmemmap, by node.
fn blocks(comparison: &mut Comparison<'_>, golden: &Golden, model: &BTreeMap<NodeId, u64>) {
    let expected = golden.vmemmap_blocks();
    for node in expected.keys().chain(model.keys()).collect::<std::collections::BTreeSet<_>>() {
        let count = |blocks: &BTreeMap<NodeId, u64>| blocks.get(node).copied().unwrap_or(0);
        comparison.number(&format!("vmemmap-blocks.{node}"), count(&expected), count(model));
    }
}

/// The ranges sorted, without empty ones, neighbours of one node joined.
fn merged(ranges: &Memory) -> Memory {
    let mut sorted: Memory = ranges.iter().copied().filter(|(range, _)| !range.is_empty()).collect();
    sorted.sort_by_key(|(range, _)| range.start());
    let mut merged: Memory = Vec::new();
    for (range, node) in sorted {
        match merged.last_mut() {
            Some((last, owner)) if last.end() == range.start() && *owner == node => {
                *last = PhysRange::new(last.start(), range.end()).unwrap();
            }
            _ => merged.push((range, node)),
        }
    }
    merged
}

/// From the first to the last byte of a node; nothing for a node without memory.
fn hull(memory: &Memory, node: NodeId) -> Memory {
    let mut own = memory.iter().filter(|(_, owner)| *owner == node).map(|(range, _)| *range);
    let Some(first) = own.next() else { return Vec::new() };
    let end = own.next_back().map_or(first.end(), PhysRange::end);
    vec![(PhysRange::new(first.start(), end).unwrap(), node)]
}
