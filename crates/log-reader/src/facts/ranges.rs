//! Reads figures that are address ranges.

use sparsemem_core::NodeId;

use super::{Fact, ZoneRange};
use crate::addresses::{self, decimal32};
use crate::frames::FrameRange;

/// A row below the header of the zones.
pub(super) fn zone(message: &str) -> Option<Fact> {
    const ZONES: [&str; 7] = ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device", "Low"];
    let (name, text) = message.split_once(char::is_whitespace)?;
    let text = text.trim_start();
    if !ZONES.contains(&name) {
        return None;
    }
    if text.starts_with("[mem") {
        return addresses::mem(text).ok().map(|(range, _)| Fact::Zone(ZoneRange::Bytes(range)));
    }
    FrameRange::read(text).ok().map(|range| Fact::Zone(ZoneRange::Frames(range)))
}

/// `Initmem setup node 0 [mem ..]`.
pub(super) fn node_span(message: &str) -> Option<Fact> {
    let (node, text) = message.strip_prefix("Initmem setup node ")?.split_once(' ')?;
    let (range, _) = addresses::mem(text).ok()?;
    Some(Fact::NodeSpan(NodeId::new(decimal32(node).ok()?), range)).filter(|_| range.count().get() > 1)
}

/// `Faking a node at [mem ..]`: the one node has all memory.
pub(super) fn faked(message: &str) -> Option<Fact> {
    let message = message.strip_prefix("NUMA: ").unwrap_or(message);
    let text = message.strip_prefix("Faking a node at ")?;
    let range = match addresses::mem(text) {
        Ok((range, _)) => range,
        Err(_) => addresses::pair(text, "-").and_then(|(start, end)| addresses::up_to(start, end)).ok()?,
    };
    Some(Fact::Faked(range))
}

/// `PM: Registered nosave memory: [mem A-B]`, or `A - B` without the end.
pub(super) fn not_saved(message: &str) -> Option<Fact> {
    let (before, text) = message.split_once("Registered nosave memory:")?;
    let range = addresses::of_table(text.trim()).ok()?.0;
    before.starts_with("PM:").then_some(Fact::NotSaved(range))
}

/// `BIOS-e820: [gap 0x..-0x..]`.
pub(super) fn gap(message: &str) -> Option<Fact> {
    let (range, _) = message.split_once(": [gap ")?.1.split_once(']')?;
    let (start, end) = addresses::pair(range, "-").ok()?;
    addresses::inclusive(start, end).ok().map(Fact::Gap)
}
