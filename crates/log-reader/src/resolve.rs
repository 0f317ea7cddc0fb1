//! Makes the two views of a layout from a table, edits and claims.
//!
//! # Invariants
//!
//! 1. In both views a kind hides a lesser kind (see [`RangeKind`]), and in an e820-style table a higher type a lower
//!    one, also where they have one kind. Windows and persistent ranges of the affinity table lie below everything that
//!    the table itself says.
//! 2. Reservations of the device tree lie above the table in the firmware's view and below it in the kernel's.

use std::collections::BTreeSet;

use sparsemem_core::{NodeId, PhysRange};

use crate::boot::Boot;
use crate::claims::{Claim, Class, NodeMap};
use crate::frames::{FRAME_BYTES, whole};
use crate::sweep::{greatest, push};
use crate::{E820Edit, Layout, MapTable, RangeKind, addresses};

/// The layer of a statement: of two overlapping ones the higher layer counts, and in one layer the greater kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Affinity,
    UnderTable,
    Table,
    OverTable,
}

/// A range with its layer, its e820 type and its kind, which are compared in this order.
type Paint = (PhysRange, (Layer, u32, RangeKind));
/// A range of one kind.
type Piece = (PhysRange, RangeKind);

/// The layout that `table` gives.
pub(crate) fn layout(boot: &Boot, table: &MapTable, edits: &[E820Edit]) -> Layout {
    let nodes = NodeMap::new(&boot.valid_claims());
    let firmware = pieces(&paints(boot, table, Layer::OverTable));
    let mut kernel = pieces(&paints(boot, table, Layer::UnderTable));
    if table.notation.is_edited_by_linux() {
        for edit in always().into_iter().skip(usize::from(boot.registers_page_zero())) {
            kernel = edited(&kernel, edit);
        }
    }
    for edit in edits {
        kernel = edited(&kernel, *edit);
    }
    let page_bytes = boot.page_bytes();
    let of_pages: Vec<Claim> =
        boot.valid_claims().into_iter().map(|claim| in_pages(claim, page_bytes)).collect();
    let kernel = NodeMap::new(&of_pages).split(&whole_frames(&kernel, page_bytes));
    Layout::new(nodes.split(&firmware), kernel, named(boot))
}

/// A claim that begins and ends between pages: no page has two nodes.
fn in_pages(claim: Claim, page_bytes: u64) -> Claim {
    let down = |at: u64| at / page_bytes * page_bytes;
    let range = addresses::between(down(claim.range.start().get()), down(claim.range.end().get()));
    Claim { range, ..claim }
}

/// The nodes that the boot names, or node 0.
fn named(boot: &Boot) -> BTreeSet<NodeId> {
    let mut nodes = boot.nodes();
    if nodes.is_empty() {
        nodes.insert(NodeId::new(0));
    }
    nodes
}

/// Every statement about the kind of a range; `reserved` is the layer of the device tree's reservations.
fn paints(boot: &Boot, table: &MapTable, reserved: Layer) -> Vec<Paint> {
    let table = table.entries.iter().map(|entry| {
        // All entries of a table have a type, or none has.
        (entry.range, (Layer::Table, entry.e820_type.unwrap_or(0), entry.kind))
    });
    let reserved = boot.reserved.iter().map(|range| (*range, (reserved, 0, RangeKind::Reserved)));
    let affinity = boot.claims.iter().filter_map(|claim| match claim.class {
        Class::Registered | Class::Fixed | Class::Hull => None,
        Class::NonVolatile => Some((claim.range, (Layer::Affinity, 0, RangeKind::Persistent))),
        Class::Window => Some((claim.range, (Layer::Affinity, 0, RangeKind::HotplugWindow))),
    });
    table.chain(reserved).chain(affinity).collect()
}

/// The disjoint pieces; neighbours of one kind are one piece.
fn pieces(paints: &[Paint]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (range, (.., kind)) in greatest(paints) {
        push(&mut pieces, range, kind);
    }
    pieces
}

/// The edits that Linux makes to every PC's table, also when the log does not show them: page 0 belongs to the BIOS (to
/// kernels before 2.6.32 it is RAM, as their early ranges show),
/// and nothing from 640 KiB to 1 MiB is RAM, whatever the firmware says.
fn always() -> [E820Edit; 2] {
    [
        E820Edit::Update {
            range: addresses::between(0, FRAME_BYTES),
            from: RangeKind::Ram,
            to: RangeKind::Reserved,
        },
        E820Edit::Remove { range: addresses::between(0xa_0000, 0x10_0000), kind: Some(RangeKind::Ram) },
    ]
}

/// The pieces after an edit.
fn edited(pieces: &[Piece], edit: E820Edit) -> Vec<Piece> {
    let (range, from) = match edit {
        E820Edit::Update { range, from, .. } => (range, Some(from)),
        E820Edit::Remove { range, kind } => (range, kind),
        E820Edit::Add { range, kind } => return added(pieces, range, kind),
    };
    let mut result = Vec::with_capacity(pieces.len() + 2);
    for &(piece, kind) in pieces {
        if from.is_some_and(|from| from != kind) || !piece.overlaps(range) {
            push(&mut result, piece, kind);
            continue;
        }
        let hit = piece.intersection(range);
        push(&mut result, addresses::between(piece.start().get(), hit.start().get()), kind);
        if let E820Edit::Update { to, .. } = edit {
            push(&mut result, hit, to);
        }
        push(&mut result, addresses::between(hit.end().get(), piece.end().get()), kind);
    }
    result
}

/// The pieces with a range of a kind, whatever was there.
fn added(pieces: &[Piece], range: PhysRange, kind: RangeKind) -> Vec<Piece> {
    let old = pieces.iter().map(|(range, kind)| (*range, (Layer::Table, 0, *kind)));
    let paints: Vec<Paint> = old.chain(std::iter::once((range, (Layer::OverTable, 0, kind)))).collect();
    self::pieces(&paints)
}

/// The pieces with RAM cut down to whole frames.
fn whole_frames(pieces: &[Piece], frame_bytes: u64) -> Vec<Piece> {
    let cut = |&(range, kind): &Piece| {
        (if kind == RangeKind::Ram { whole(range, frame_bytes) } else { range }, kind)
    };
    pieces.iter().map(cut).filter(|(range, _)| !range.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::between as range;

    #[test]
    fn edits_change_only_the_kind_they_name() {
        let pieces = [(range(0, 10), RangeKind::Ram), (range(10, 20), RangeKind::Reserved)];
        let update =
            E820Edit::Update { range: range(5, 15), from: RangeKind::Ram, to: RangeKind::Persistent };
        let expected = [
            (range(0, 5), RangeKind::Ram),
            (range(5, 10), RangeKind::Persistent),
            (range(10, 20), RangeKind::Reserved),
        ];
        assert_eq!(edited(&pieces, update), expected);
        let remove = E820Edit::Remove { range: range(5, 15), kind: None };
        assert_eq!(
            edited(&pieces, remove),
            [(range(0, 5), RangeKind::Ram), (range(15, 20), RangeKind::Reserved)]
        );
    }

    #[test]
    fn an_update_joins_equal_neighbours() {
        let pieces = [(range(0, 10), RangeKind::Ram), (range(10, 20), RangeKind::Reserved)];
        let update = E820Edit::Update { range: range(0, 20), from: RangeKind::Ram, to: RangeKind::Reserved };
        assert_eq!(edited(&pieces, update), [(range(0, 20), RangeKind::Reserved)]);
    }

    #[test]
    fn partial_frames_are_no_ram() {
        let pieces = [
            (range(0x10, 0x2fff), RangeKind::Ram),
            (range(0x3001, 0x3fff), RangeKind::Ram),
            (range(0x4001, 0x4002), RangeKind::Reserved),
        ];
        assert_eq!(
            whole_frames(&pieces, FRAME_BYTES),
            [(range(0x1000, 0x2000), RangeKind::Ram), (range(0x4001, 0x4002), RangeKind::Reserved)]
        );
    }
}
