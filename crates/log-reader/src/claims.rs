//! Decides which node an address belongs to when several lines name one.
//!
//! # Invariants
//!
//! 1. A range that the kernel registered counts before one that the firmware names. Otherwise the most specific claim
//!    counts, in this order: memory that is there before memory that may come ([`Class`]), the shorter range before the
//!    longer, the lower node before the higher. The order of the claims does not matter.
//! 2. A hole between two neighbouring claims of one node is that node's, as Linux merges its node blocks.

use std::cmp::Reverse;

use sparsemem_core::{NodeId, PhysRange};

use crate::sweep::{greatest, push};
use crate::{LayoutRange, RangeKind, addresses};

/// The firmness of a claim, most firm first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Memory that the kernel registered for the node.
    Registered,
    /// Memory that is there.
    Fixed,
    /// Everything from a node's first to its last memory, holes included.
    Hull,
    /// Persistent memory, there or not.
    NonVolatile,
    /// Memory that may be plugged.
    Window,
}

/// A range that a line of the text gives to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) range: PhysRange,
    pub(crate) node: NodeId,
    pub(crate) class: Class,
    /// Bytes that the claim names as one; fewer are more specific.
    pub(crate) grain: u64,
}

impl Claim {
    /// A claim as specific as its range.
    pub(crate) fn new(range: PhysRange, node: NodeId, class: Class) -> Self {
        Self { range, node, class, grain: range.count().get() }
    }
}

/// A range that the affinity table gives to two nodes as memory that is there, and these nodes, the lower one first.
///
/// Source: Linux x86 `numa_cleanup_meminfo`, which rejects such a table.
pub(crate) fn overlap<'c>(claims: impl Iterator<Item = &'c Claim>) -> Option<(PhysRange, [NodeId; 2])> {
    let there = |claim: &&Claim| claim.class == Class::Fixed && !claim.range.is_empty();
    let mut there: Vec<&Claim> = claims.filter(there).collect();
    there.sort_unstable_by_key(|claim| (claim.range.start(), claim.node));
    let mut farthest = *there.first()?;
    for claim in there {
        // Of all claims before this one, the one that ends last overlaps it if any does. If both are of one node, a
        // claim of another node that overlaps this one overlaps the earlier one too, and the loop has found it there.
        if claim.node != farthest.node && claim.range.overlaps(farthest.range) {
            let (one, other) = (claim.node.min(farthest.node), claim.node.max(farthest.node));
            return Some((claim.range.intersection(farthest.range), [one, other]));
        }
        if claim.range.end() > farthest.range.end() {
            farthest = claim;
        }
    }
    None
}

/// The nodes of all addresses that a claim names, lowest first.
pub(crate) struct NodeMap(Vec<(PhysRange, NodeId)>);

impl NodeMap {
    /// Resolves the claims.
    pub(crate) fn new(claims: &[Claim]) -> Self {
        let keyed: Vec<_> = claims
            .iter()
            .map(|claim| (claim.range, Reverse((claim.class, claim.grain, claim.node))))
            .collect();
        let mut nodes: Vec<(PhysRange, NodeId)> = Vec::new();
        for (range, Reverse((.., node))) in greatest(&keyed) {
            let hole = nodes.last().filter(|(_, last)| *last == node).map(|(last, _)| last.end());
            let start = hole.unwrap_or(range.start());
            push(&mut nodes, addresses::between(start.get(), range.end().get()), node);
        }
        Self(nodes)
    }

    /// Cuts ranges at node borders and gives each piece its node.
    pub(crate) fn split(&self, ranges: &[(PhysRange, RangeKind)]) -> Vec<LayoutRange> {
        let mut pieces = Vec::with_capacity(ranges.len());
        for &(range, kind) in ranges {
            if kind.has_node() {
                self.split_one(range, kind, &mut pieces);
            } else {
                push(&mut pieces, range, (kind, None));
            }
        }
        pieces.into_iter().map(|(range, (kind, node))| LayoutRange { range, kind, node }).collect()
    }

    /// Does it for one range.
    fn split_one(
        &self,
        range: PhysRange,
        kind: RangeKind,
        pieces: &mut Vec<(PhysRange, (RangeKind, Option<NodeId>))>,
    ) {
        let first = self.0.partition_point(|(claimed, _)| claimed.end() <= range.start());
        let mut from = range.start().get();
        for (claimed, node) in
            self.0.iter().skip(first).take_while(|(claimed, _)| claimed.start() < range.end())
        {
            let part = claimed.intersection(range);
            push(pieces, addresses::between(from, part.start().get()), (kind, None));
            push(pieces, part, (kind, Some(*node)));
            from = part.end().get();
        }
        push(pieces, addresses::between(from, range.end().get()), (kind, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(start: u64, end: u64, node: u32, class: Class) -> Claim {
        Claim::new(addresses::between(start, end), NodeId::new(node), class)
    }

    fn nodes(claims: &[Claim], start: u64, end: u64) -> Vec<(u64, u64, Option<u32>)> {
        let pieces = NodeMap::new(claims).split(&[(addresses::between(start, end), RangeKind::Ram)]);
        let of = |piece: LayoutRange| {
            (piece.range.start().get(), piece.range.end().get(), piece.node.map(NodeId::get))
        };
        pieces.into_iter().map(of).collect()
    }

    #[test]
    fn a_window_gives_way_to_what_is_there() {
        let claims = [claim(0, 100, 1, Class::Window), claim(20, 40, 0, Class::Fixed)];
        assert_eq!(
            nodes(&claims, 0, 120),
            [(0, 20, Some(1)), (20, 40, Some(0)), (40, 100, Some(1)), (100, 120, None)]
        );
    }

    #[test]
    fn the_shorter_of_two_claims_counts_and_then_the_lower_node() {
        let claims =
            [claim(0, 100, 0, Class::Fixed), claim(10, 20, 5, Class::Fixed), claim(10, 20, 3, Class::Fixed)];
        assert_eq!(nodes(&claims, 0, 100), [(0, 10, Some(0)), (10, 20, Some(3)), (20, 100, Some(0))]);
    }

    #[test]
    fn what_the_kernel_registered_beats_even_a_shorter_claim() {
        let claims = [claim(0, 100, 0, Class::Registered), claim(10, 20, 1, Class::Fixed)];
        assert_eq!(nodes(&claims, 0, 100), [(0, 100, Some(0))]);
    }

    #[test]
    fn an_overlap_is_of_memory_that_is_there_and_of_two_nodes() {
        let found =
            |claims: &[Claim]| overlap(claims.iter()).map(|(range, nodes)| (range, nodes.map(NodeId::get)));
        let long = claim(0, 100, 3, Class::Fixed);
        let inner = claim(10, 20, 3, Class::Fixed);
        let late = claim(40, 120, 1, Class::Fixed);
        assert_eq!(found(&[late, inner, long]), Some((addresses::between(40, 100), [1, 3])));
        let after = claim(100, 120, 1, Class::Fixed);
        let empty = claim(50, 50, 1, Class::Fixed);
        let window = claim(0, 120, 1, Class::Window);
        let hull = claim(0, 120, 2, Class::Hull);
        assert_eq!(found(&[after, window, hull, empty, inner, long]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_hole_inside_a_node_is_that_nodes() {
        let claims =
            [claim(0, 10, 0, Class::Fixed), claim(20, 30, 0, Class::Fixed), claim(40, 50, 1, Class::Fixed)];
        assert_eq!(nodes(&claims, 0, 45), [(0, 30, Some(0)), (30, 40, None), (40, 45, Some(1))]);
    }
}
