//! Compares a map with the other sources in the same log: the affinity table, the EFI map, the listing of the running
//! system.
//!
//! # Invariants
//!
//! 1. Only what one source calls RAM and the other does not name at all is a contradiction: what both name may have become
//!    something else between them.

use sparsemem_core::PhysRange;

use super::Check;
use super::ranges::{joined, without};
use crate::claims::Class;
use crate::{Contradiction, MapTable, Notation, Quantity, RangeKind, Subject, addresses};

/// RAM without a node that Linux on a PC overlooks.
const OVERLOOKED: u64 = 1 << 20;

impl Check<'_> {
    /// RAM has a node, if any has; and where a node has memory, the map names something.
    pub(super) fn nodes_of_memory(&mut self) {
        let lines = self.boot.claim_lines();
        let claims: Vec<_> = self.boot.believed().filter(|claim| claim.class == Class::Fixed).collect();
        if claims.is_empty() || !self.table.notation.is_edited_by_linux() || self.is_flat {
            return;
        }
        let (first_line, last_line) = lines;
        let of_nodes = joined(self.boot.valid_claims().iter().map(|claim| claim.range));
        let ram = joined(self.memory.iter().map(|(range, _)| *range));
        let homeless = without(&ram, &of_nodes);
        if homeless.iter().map(|range| range.count().get()).sum::<u64>() >= OVERLOOKED {
            let range = homeless.first().copied().unwrap_or_else(|| addresses::between(0, 0));
            self.contradictions.push(Contradiction::NoNode { range, first_line, last_line });
        }
        let named = self.table.entries.iter().map(|entry| entry.range).chain(self.boot.edited());
        let named = joined(named);
        // A window for devices may lie in a node's memory, and is never most of it.
        let empty = claims.iter().find(|claim| {
            let bytes = claim.range.count().get();
            let unnamed =
                without(&[claim.range], &named).iter().map(|range| range.count().get()).sum::<u64>();
            bytes >= OVERLOOKED && unnamed > bytes / 2
        });
        if let Some(claim) = empty.filter(|_| !self.boot.has_own_map && !self.table.notation.is_of_user()) {
            self.only_said(Subject::NodeMemory(claim.node), lines, claim.range);
        }
    }

    /// The loader makes the e820 of the EFI map, range by range.
    pub(super) fn firmware_map(&mut self) {
        let is_made_of_it = [Notation::BIOS_E820, Notation::EXTENDED_E820].contains(&self.table.notation);
        let Some(efi) = self.table_of(Notation::EFI).filter(|_| is_made_of_it) else { return };
        let named = joined(self.table.entries.iter().map(|entry| entry.range));
        let lines = (efi.first_line, efi.last_line);
        let (missing, surplus) =
            (unnamed(&ram_of(efi), &named), unnamed(&ram_of(self.table), &ranges_of(efi)));
        self.compare_sources(Subject::FirmwareMap, lines, missing, surplus);
    }

    /// The listing has the RAM of the map, from the first to the last RAM that it shows; memory that was plugged later may
    /// lie above.
    pub(super) fn listing(&mut self) {
        let Some(listing) = self.table_of(Notation::IOMEM) else { return };
        if !self.table.notation.is_edited_by_linux() {
            return;
        }
        let (listed, named) = (ram_of(listing), ranges_of(self.table));
        let (Some(first), Some(last)) = (listed.first(), listed.last()) else { return };
        let shown = addresses::between(first.start().get(), last.end().get());
        let below = |range: &PhysRange| range.end().get() <= self.top;
        let missing = unnamed(&listed, &named).filter(below);
        let ram: Vec<PhysRange> = self.memory.iter().map(|(range, _)| range.intersection(shown)).collect();
        let surplus = unnamed(&joined(ram.into_iter()), &ranges_of(listing));
        self.compare_sources(Subject::Listing, (listing.first_line, listing.last_line), missing, surplus);
    }

    /// Files what only another source has, and what only the map has.
    fn compare_sources(
        &mut self,
        subject: Subject,
        lines: (usize, usize),
        missing: Option<PhysRange>,
        surplus: Option<PhysRange>,
    ) {
        if let Some(range) = missing {
            self.only_said(subject, lines, range);
        } else if let Some(range) = surplus {
            self.only_mapped(subject, lines, range);
        } else {
            let end = Quantity::Address(self.top);
            self.compare_lines(subject, lines, true, end, end);
        }
    }

    /// The last table of a notation, if it is not the one that gives the map.
    fn table_of(&self, notation: Notation) -> Option<&'_ MapTable> {
        let table = self.boot.tables.iter().rev().find(|table| table.notation == notation)?;
        (table.first_line != self.table.first_line).then_some(table)
    }
}

/// The first page or more of RAM that is in none of the named ranges. The lowest MiB of a PC is a special case for
/// everybody.
fn unnamed(ram: &[PhysRange], named: &[PhysRange]) -> Option<PhysRange> {
    const PAGE: u64 = 0x1000;
    let high = |range: &PhysRange| range.end().get() > OVERLOOKED && range.count().get() >= PAGE;
    without(ram, named).into_iter().find(high)
}

/// The RAM of a table.
fn ram_of(table: &MapTable) -> Vec<PhysRange> {
    joined(table.entries.iter().filter(|entry| entry.kind == RangeKind::Ram).map(|entry| entry.range))
}

/// Everything that a table names.
fn ranges_of(table: &MapTable) -> Vec<PhysRange> {
    joined(table.entries.iter().map(|entry| entry.range))
}
