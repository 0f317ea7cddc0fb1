//! The memory that a kernel registered itself: early node ranges and listings of its boot allocator.
//!
//! # Invariants
//!
//! 1. Kernels before 3.4 print frame numbers instead of addresses; they ran on frames of 4 KiB.

use sparsemem_core::{NodeId, PhysRange};

use crate::addresses::{self, decimal, decimal32};
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `node 0: [mem 0x..-0x..]`, and its older form in frame numbers.
    pub const EARLY_NODE_RANGES: Self = Self::other("early-node-ranges");
    /// `memory[0x0] [0x..-0x..]`, or the boot allocator's listing in debugfs.
    pub const MEMBLOCK: Self = Self::other("memblock");
}

/// The early node ranges, without those that only their header makes known ([`bare_early_range`]).
pub(super) const EARLY_NODE_RANGES: Source =
    Source { notations: &[Notation::EARLY_NODE_RANGES], readers: &[early_range] };

/// The listings of the boot allocator.
pub(super) const BOOT_ALLOCATOR: Source =
    Source { notations: &[Notation::MEMBLOCK], readers: &[allocator_range] };

/// Bytes of a frame where a log counts in frames.
pub(crate) const FRAME_BYTES: u64 = 0x1000;

/// Reads `node 0: [mem 0x..-0x..]` and the older `node 0: 0x10 -> 0x9f`.
pub(crate) fn early_range(line: &Line<'_>) -> Answer {
    let (node, text) = line.message.strip_prefix("node ")?.split_once(':')?;
    let text = text.trim_start();
    if text.starts_with("[mem") {
        return Some(registered(node, addresses::mem(text).map(|(range, _)| range)));
    }
    text.contains(" -> ").then(|| registered(node, frames(text)))
}

/// Reads `0: 0x10 -> 0x9f`, the form before 3.1, which has no word of its own and comes under a header.
pub(crate) fn bare_early_range(line: &Line<'_>) -> Answer {
    let (node, text) = line.message.split_once(':')?;
    decimal(node).ok()?;
    text.contains("->").then(|| registered(node, frames(text)))
}

/// True if the line is the header of [`bare_early_range`]s.
pub(crate) fn heads_bare_ranges(line: &Line<'_>) -> bool {
    line.message.starts_with("early_node_map[")
}

/// `0x10 -> 0x9f`, in frames.
pub(crate) fn frames(text: &str) -> Result<PhysRange, Reason> {
    let (first, end) = addresses::pair(text, "->")?;
    let count = end.checked_sub(first).ok_or(Reason::Reversed { start: first, end })?;
    addresses::units(first, count, FRAME_BYTES)
}

/// RAM of a node.
fn registered(node: &str, range: Result<PhysRange, Reason>) -> Result<Statement, Reason> {
    let node = Some(NodeId::new(decimal32(node)?));
    Ok(Statement::Entry(Notation::EARLY_NODE_RANGES, MapEntry::new(range?, RangeKind::Ram, node)))
}

/// Reads `memory[0x0] [0x..-0x..], 0x.. bytes on node 0 flags: 0x0`, and the listing in debugfs, `0: 0x....0x..`.
fn allocator_range(line: &Line<'_>) -> Answer {
    if line.message == "MEMBLOCK configuration:" {
        return Some(Ok(Statement::TableStart));
    }
    let entry = match line.message.strip_prefix("memory[0x") {
        Some(text) => dumped(text),
        None => listed(line.message)?,
    };
    Some(entry.map(|entry| Statement::Entry(Notation::MEMBLOCK, entry)))
}

/// `0] [0x..-0x..], 0x.. bytes on node 0 flags: 0x0`.
fn dumped(text: &str) -> Result<MapEntry, Reason> {
    let (_, text) = text.split_once('[').ok_or(Reason::NoRange)?;
    let (range, text) = text.split_once(']').ok_or(Reason::NoRange)?;
    let (start, end) = addresses::pair(range, "-")?;
    let node = text.split_once(" on node ").and_then(|(_, node)| node.split_whitespace().next());
    let node = node.map(decimal32).transpose()?.map(NodeId::new);
    Ok(MapEntry::new(addresses::inclusive(start, end)?, RangeKind::Ram, node))
}

/// `0: 0x0000000000001000..0x000000000009efff    0 NONE`.
fn listed(message: &str) -> Option<Result<MapEntry, Reason>> {
    let (index, text) = message.split_once(':')?;
    decimal(index).ok()?;
    let mut words = text.split_whitespace();
    let range = words.next().filter(|word| word.starts_with("0x") && word.contains(".."))?;
    let node = words.next().and_then(|word| decimal32(word).ok()).map(NodeId::new);
    let range = addresses::pair(range, "..").and_then(|(start, end)| addresses::inclusive(start, end));
    Some(range.map(|range| MapEntry::new(range, RangeKind::Ram, node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: Answer) -> Result<MapEntry, Reason> {
        match answer.expect("a memory line")? {
            Statement::Entry(_, entry) => Ok(entry),
            _ => panic!("no entry"),
        }
    }

    fn ram(start: u64, end: u64, node: Option<u32>) -> Result<MapEntry, Reason> {
        Ok(MapEntry::new(addresses::between(start, end), RangeKind::Ram, node.map(NodeId::new)))
    }

    #[test]
    fn early_ranges_of_all_decades() {
        let new = Line::new("  node   8: [mem 0x0000200000000000-0x00002007ffffffff]");
        assert_eq!(read(early_range(&new)), ram(0x2000_0000_0000, 0x2008_0000_0000, Some(8)));
        let older = Line::new("  node   0: 0x00000010 -> 0x0000009f");
        assert_eq!(read(early_range(&older)), ram(0x1_0000, 0x9_f000, Some(0)));
        let oldest = Line::new("    1: 0x00000100 -> 0x000bf6d0");
        assert_eq!(read(bare_early_range(&oldest)), ram(0x10_0000, 0xbf6d_0000, Some(1)));
        assert!(early_range(&Line::new("node 0 initialised, 3165411 pages in 1ms")).is_none());
        assert!(read(early_range(&Line::new("node 0: [mem 0x2000-0x0fff]"))).is_err());
    }

    #[test]
    fn listings_of_the_allocator() {
        let text = " memory[0x1]\t[0x00100000-0x1fffffff], 0x1ff00000 bytes on node 1 flags: 0x0";
        assert_eq!(read(allocator_range(&Line::new(text))), ram(0x10_0000, 0x2000_0000, Some(1)));
        let text = "   0: 0x0000000000001000..0x000000000009efff    x NONE";
        assert_eq!(read(allocator_range(&Line::new(text))), ram(0x1000, 0x9_f000, None));
        assert!(allocator_range(&Line::new(" memory.cnt  = 0x3")).is_none());
    }
}
