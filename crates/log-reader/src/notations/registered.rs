//! The memory that a kernel registered itself: the early node ranges.
//!
//! # Invariants
//!
//! 1. Kernels before 3.4 print frame numbers instead of addresses, with or without `node` before them. Only the header
//!    makes those without known.

use sparsemem_core::{NodeId, PhysRange};

use crate::addresses::{self, decimal, decimal32};
use crate::frames::FrameRange;
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `node 0: [mem 0x..-0x..]`, and its older form in frame numbers.
    pub const EARLY_NODE_RANGES: Self = Self::other("early-node-ranges");
}

/// The early node ranges, without those that only their header makes known ([`bare_early_range`]).
pub(super) const EARLY_NODE_RANGES: Source =
    Source { notations: &[Notation::EARLY_NODE_RANGES], readers: &[early_range] };

/// Reads `node 0: [mem 0x..-0x..]` and the older `node 0: 0x10 -> 0x9f`.
pub(crate) fn early_range(line: &Line<'_>) -> Answer {
    let (node, text) = line.message.strip_prefix("node ")?.split_once(':')?;
    let text = text.trim_start();
    if text.starts_with("[mem") {
        return Some(registered(node, addresses::mem(text).map(|(range, _)| range)));
    }
    // Other lines have words like these: only a number makes it one of these.
    decimal(node).ok()?;
    text.contains("->").then(|| in_frames(node, text))
}

/// Reads `0: 0x10 -> 0x9f`, the form before 3.4, which has no word of its own and comes under a header.
pub(crate) fn bare_early_range(line: &Line<'_>) -> Answer {
    let (node, text) = line.message.split_once(':')?;
    decimal(node).ok()?;
    text.contains("->").then(|| in_frames(node, text))
}

/// The headers of early ranges, oldest first.
const HEADERS: [&str; 3] = ["early_node_map[", "Early memory PFN ranges", "Early memory node ranges"];

/// True if the line is the header of [`bare_early_range`]s, or of those with a word.
pub(crate) fn heads_early_ranges(line: &Line<'_>) -> bool {
    HEADERS.iter().any(|header| line.message.starts_with(header))
}

/// RAM of a node, in frames.
fn in_frames(node: &str, text: &str) -> Result<Statement, Reason> {
    Ok(Statement::Frames(NodeId::new(decimal32(node)?), FrameRange::read(text)?))
}

/// RAM of a node.
fn registered(node: &str, range: Result<PhysRange, Reason>) -> Result<Statement, Reason> {
    let node = Some(NodeId::new(decimal32(node)?));
    Ok(Statement::Entry(Notation::EARLY_NODE_RANGES, MapEntry::new(range?, RangeKind::Ram, node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(answer: Answer) -> Option<(u32, FrameRange)> {
        match answer? {
            Ok(Statement::Frames(node, range)) => Some((node.get(), range)),
            _ => None,
        }
    }

    #[test]
    fn early_ranges_of_all_decades() {
        let new = Line::new("  node   8: [mem 0x0000200000000000-0x00002007ffffffff]");
        let Some(Ok(Statement::Entry(Notation::EARLY_NODE_RANGES, entry))) = early_range(&new) else {
            panic!("no entry");
        };
        assert_eq!(entry.range, addresses::between(0x2000_0000_0000, 0x2008_0000_0000));
        assert_eq!(entry.node, Some(NodeId::new(8)));
        let older = Line::new("  node   0: 0x00000010 -> 0x0000009f");
        assert_eq!(frames(early_range(&older)).map(|(node, _)| node), Some(0));
        for oldest in ["    1: 0x00000100 -> 0x000bf6d0", "    1:      256 ->   784080"] {
            assert_eq!(
                frames(bare_early_range(&Line::new(oldest))).map(|(node, _)| node),
                Some(1),
                "{oldest}"
            );
        }
        assert!(early_range(&Line::new("node 0 initialised, 3165411 pages in 1ms")).is_none());
        assert!(early_range(&Line::new("node 0: [mem 0x2000-0x0fff]")).is_some_and(|read| read.is_err()));
    }

    #[test]
    fn every_header_is_known() {
        for header in
            ["early_node_map[2] active PFN ranges", "Early memory PFN ranges", "Early memory node ranges"]
        {
            assert!(heads_early_ranges(&Line::new(header)), "{header}");
        }
    }
}
