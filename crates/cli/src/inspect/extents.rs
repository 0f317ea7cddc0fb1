//! Runs of sections with the same appearance.
//!
//! # Invariants
//!
//! 1. Extents are sorted, do not overlap and are not empty; adjacent ones differ in kind.
//! 2. Their number follows the ranges and sections of the machine, not its address space.

use crate::inspection::{InspectedRange, InspectedSection, Inspection};

/// The kind of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Something that is not memory: registers, firmware, tables.
    Other,
    /// A window for memory that may be plugged.
    Window,
    /// Memory that is reserved for a special purpose.
    SoftReserved,
    /// Persistent memory.
    Persistent,
    /// RAM without a section.
    Lost,
    /// A present section with a hole.
    Partial(Owner),
    /// A present section without holes.
    Full(Owner),
}

/// The owner of a present section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// No range in the section names a node.
    Unknown,
    /// All of its memory is of this node.
    Node(u32),
    /// The section has memory of several nodes.
    Several,
}

/// Sections `start..end`, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) what: What,
}

/// The extents of a machine, lowest first.
pub(super) fn extents(inspection: &Inspection) -> Vec<Extent> {
    let sections = sections(inspection);
    let mut painted: Vec<Extent> = ranges(inspection);
    painted.extend(sections.iter().map(|section| of_section(inspection, section)));
    merge(flatten(painted))
}

/// The present sections, which are the same on every backend.
pub(super) fn sections(inspection: &Inspection) -> &[InspectedSection] {
    inspection.backends.values().next().map_or(&[], |backend| &backend.sections)
}

/// Subsections per section.
pub(super) fn subsections(inspection: &Inspection) -> usize {
    usize::try_from(inspection.section_bytes / inspection.subsection_bytes.max(1)).unwrap_or(1).max(1)
}

/// The bits of a subsection map, lowest first.
pub(super) fn bits(section: &InspectedSection, count: usize) -> Vec<bool> {
    let digits = section.subsections.chars().rev().filter_map(|digit| digit.to_digit(16));
    let mut bits: Vec<bool> = digits.flat_map(|digit| (0..4).map(move |bit| digit >> bit & 1 == 1)).collect();
    bits.resize(count, false);
    bits
}

/// True if every subsection is populated.
pub(super) fn is_full(section: &InspectedSection, count: usize) -> bool {
    bits(section, count).into_iter().all(|bit| bit)
}

/// The owner of the RAM in section `nr`.
pub(super) fn owner(inspection: &Inspection, nr: u64) -> Owner {
    let (start, end) = (nr * inspection.section_bytes, (nr + 1).saturating_mul(inspection.section_bytes));
    let inside = |range: &&InspectedRange| range.kind == "ram" && range.start < end && range.end > start;
    let mut nodes = inspection.ranges.iter().filter(inside).filter_map(|range| range.node);
    match nodes.next() {
        None => Owner::Unknown,
        Some(first) if nodes.all(|node| node == first) => Owner::Node(first),
        Some(_) => Owner::Several,
    }
}

fn of_section(inspection: &Inspection, section: &InspectedSection) -> Extent {
    let owner = owner(inspection, section.nr);
    let full = is_full(section, subsections(inspection));
    let what = if full { What::Full(owner) } else { What::Partial(owner) };
    Extent { start: section.nr, end: section.nr + 1, what }
}

/// Every range, as the sections that it touches.
fn ranges(inspection: &Inspection) -> Vec<Extent> {
    let what = |kind| match kind {
        "ram" => What::Lost,
        "persistent" => What::Persistent,
        "soft-reserved" => What::SoftReserved,
        "hotplug-window" => What::Window,
        _ => What::Other,
    };
    let size = inspection.section_bytes.max(1);
    let extents = inspection.ranges.iter().filter(|range| range.start < range.end).map(|range| Extent {
        start: range.start / size,
        end: (range.end - 1) / size + 1,
        what: what(range.kind),
    });
    extents.collect()
}

/// Splits overlapping extents into disjoint pieces; where several cover a section, the greatest kind counts.
fn flatten(mut painted: Vec<Extent>) -> Vec<Extent> {
    painted.sort_by_key(|extent| extent.start);
    let mut edges: Vec<u64> = painted.iter().flat_map(|extent| [extent.start, extent.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut waiting = painted.into_iter().peekable();
    let mut open: Vec<Extent> = Vec::new();
    let mut pieces = Vec::new();
    for edge in edges.windows(2) {
        let &[start, end] = edge else { continue };
        while let Some(extent) = waiting.next_if(|extent| extent.start <= start) {
            open.push(extent);
        }
        open.retain(|extent| extent.end > start);
        pieces.extend(open.iter().map(|extent| extent.what).max().map(|what| Extent { start, end, what }));
    }
    pieces
}

/// Joins adjacent extents of the same kind.
fn merge(pieces: Vec<Extent>) -> Vec<Extent> {
    let mut merged: Vec<Extent> = Vec::new();
    for piece in pieces {
        match merged.last_mut() {
            Some(last) if last.end == piece.start && last.what == piece.what => last.end = piece.end,
            _ => merged.push(piece),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range, section};
    use super::{Extent, Owner, What, bits, extents};

    const GIB: u64 = 1 << 30;
    const SECTION: u64 = 128 << 20;

    #[test]
    fn sections_hide_what_ranges_say_of_them() {
        let ranges = vec![
            range(0, 2 * SECTION, "ram", Some(0)),
            range(2 * SECTION, 3 * SECTION, "ram", Some(1)),
            range(3 * SECTION, 3 * SECTION + 4096, "reserved", None),
            range(GIB, 2 * GIB, "persistent", None),
            range(0, 4 * GIB, "hotplug-window", None),
        ];
        let found = extents(&machine(ranges, vec![section(0, !1), section(1, !0)]));
        let extent = |start, end, what| Extent { start, end, what };
        assert_eq!(
            found,
            [
                extent(0, 1, What::Partial(Owner::Node(0))),
                extent(1, 2, What::Full(Owner::Node(0))),
                extent(2, 3, What::Lost),
                extent(3, 8, What::Window),
                extent(8, 16, What::Persistent),
                extent(16, 32, What::Window),
            ]
        );
    }

    #[test]
    fn a_section_of_two_nodes_says_so() {
        let ranges = vec![range(0, 4096, "ram", Some(0)), range(4096, SECTION, "ram", Some(1))];
        let found = extents(&machine(ranges, vec![section(0, !0)]));
        assert_eq!(found, [Extent { start: 0, end: 1, what: What::Full(Owner::Several) }]);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(extents(&machine(vec![], vec![])), []);
    }

    #[test]
    fn the_last_digit_holds_the_lowest_subsections() {
        let found = bits(&section(0, 0b101), 64);
        assert_eq!((found.len(), found[0], found[1], found[2], found[63]), (64, true, false, true, false));
        assert_eq!(bits(&section(0, 0b101), 8).len(), 8);
    }
}
