//! Compares ranges: the tables that a map is made of and that are made of it, zones, and the pages of its sections.
//!
//! # Invariants
//!
//! 1. A range that only one side has is named, not only counted.

use sparsemem_core::PhysRange;

use super::{Check, early_table};
use crate::facts::{Fact, ZoneRange};
use crate::frames::{FRAME_BYTES, radix_of};
use crate::sweep::{greatest, push};
use crate::{Contradiction, MapTable, Notation, Quantity, RangeKind, Subject, addresses};

/// Pages that the early ranges may lack before they contradict the map: rows that somebody left out, 1 of 1024.
const LEFT_OUT: u64 = 1024;

/// The ends of zones for devices of 32 bits, whatever memory there is: on PCs, and on MIPS boards with Octeon
/// processors.
const ZONE_LIMITS: [u64; 2] = [1 << 32, 0xf000_0000];

/// Bytes of a section of Linux on a PC.
const SECTION_BYTES: u64 = 128 << 20;

impl Check<'_> {
    /// Compares an e820 table with the one before it, which it was made of: it names everything that was RAM there, below
    /// its own highest RAM, unless an edit took that away or the user gave a map from scratch.
    pub(super) fn earlier_table(&mut self) {
        let before = self.boot.tables.iter().filter(|table| table.first_line < self.table.first_line);
        let Some(before) = before.rev().find(|table| table.notation.is_edited_by_linux()) else { return };
        if !self.table.notation.is_edited_by_linux() || self.boot.has_own_map {
            return;
        }
        let named = self.table.entries.iter().map(|entry| entry.range).chain(self.boot.edited());
        let named = joined(named.chain(std::iter::once(addresses::between(self.top, u64::MAX))));
        let ram = |table: &MapTable| {
            joined(table.entries.iter().filter(|entry| entry.kind == RangeKind::Ram).map(|entry| entry.range))
        };
        let (old, new) = (ram(before), ram(self.table));
        let lost = without(&old, &named).into_iter().find(|lost| {
            // Where RAM of the table goes on inside a range that was RAM, the user cut the range.
            let is_cut = |other: &PhysRange| {
                (other.end() == lost.start() || other.start() == lost.end())
                    && old.iter().any(|range| range.contains_range(*lost) && range.overlaps(*other))
            };
            !(self.table.notation.is_of_user() && new.iter().any(is_cut))
        });
        if let Some(lost) = lost {
            self.only_said(Subject::Ram, (before.first_line, before.first_line), lost);
        }
    }

    /// Compares a map that is not the early ranges with them.
    pub(super) fn early_ranges(&mut self) {
        let Some(early) = early_table(self.boot) else { return };
        if self.table.notation == Notation::EARLY_NODE_RANGES || !self.is_boot_map() || self.is_flat {
            return;
        }
        let registered = joined(early.entries.iter().map(|entry| entry.range));
        let mapped = joined(self.memory.iter().map(|(range, _)| *range));
        // Kernels of 3.0 keep back the lowest 64 KiB without saying so.
        let low = |range: &PhysRange| range.start().get() < 0x1_0000 && range.end().get() <= 0x1_0000;
        let surplus: Vec<PhysRange> = without(&registered, &mapped);
        let missing: Vec<PhysRange> =
            without(&mapped, &registered).into_iter().filter(|range| !low(range)).collect();
        let lines = (early.first_line, early.first_line);
        if let Some(range) = surplus.first() {
            return self.only_said(Subject::Registered, lines, *range);
        }
        let bytes = |ranges: &[PhysRange]| ranges.iter().map(|range| range.count().get()).sum::<u64>();
        let is_whole = |range: &PhysRange| mapped.contains(range);
        let left_out = missing.iter().all(is_whole) && bytes(&missing) < bytes(&mapped) / LEFT_OUT;
        match missing.first().filter(|_| !left_out) {
            Some(range) => self.only_mapped(Subject::Registered, lines, *range),
            None => {
                let pages = Quantity::Pages(bytes(&registered) / self.page_bytes);
                self.compare_lines(Subject::Registered, lines, true, pages, pages);
            }
        }
    }

    /// The rows and the gaps of a table that names its gaps leave nothing out.
    pub(super) fn gaps(&mut self) {
        let (table, own) = (self.table, self.table.first_line..=self.table.last_line);
        let gaps = self.boot.facts.iter().filter_map(|(line, fact)| match fact {
            Fact::Gap(range) if own.contains(line) => Some((*line, *range)),
            _ => None,
        });
        let gaps: Vec<(usize, PhysRange)> = gaps.collect();
        let Some((gap_line, _)) = gaps.first() else { return };
        let ranges =
            table.entries.iter().map(|entry| entry.range).chain(gaps.iter().map(|(_, range)| *range));
        if let [below, above, ..] = joined(ranges)[..] {
            let range = addresses::between(below.end().get(), above.start().get());
            let (first_line, gap_line) = (table.first_line, *gap_line);
            self.contradictions.push(Contradiction::Untold { range, first_line, gap_line });
        }
    }

    /// Pages without memory in the sections of a PC, which have 128 MiB. Other processors had sections of other sizes.
    pub(super) fn unavailable(&mut self) {
        let said = self.boot.facts.iter().filter_map(|(line, fact)| match fact {
            Fact::Unavailable(pages) => Some((*line, *pages)),
            _ => None,
        });
        let (line, pages) = said.fold((0, 0u64), |(_, sum), (line, pages)| (line, sum.saturating_add(pages)));
        if line == 0 || !self.table.notation.is_edited_by_linux() {
            return;
        }
        let touched = |range: &PhysRange| {
            let (start, end) =
                (range.start().get() / SECTION_BYTES, range.end().get().div_ceil(SECTION_BYTES));
            addresses::between(start * SECTION_BYTES, end.saturating_mul(SECTION_BYTES))
        };
        let sections = joined(self.memory.iter().map(|(range, _)| touched(range)));
        let bytes: u64 = sections.iter().map(|range| range.count().get()).sum();
        let found = (bytes / FRAME_BYTES).saturating_sub(self.pages(None));
        let (said, read) = (Quantity::Pages(pages), Quantity::Pages(found));
        self.compare(Subject::Unavailable, line, said == read, said, read);
    }

    /// The end of the last zone is that of RAM, and the start of the first one is that of the memory that was registered.
    pub(super) fn zones(&mut self) {
        if !self.is_boot_map() {
            return;
        }
        let boot = self.boot;
        let frames = boot.facts.iter().filter_map(|(_, fact)| match fact {
            Fact::Zone(ZoneRange::Frames(range)) => Some(range),
            _ => None,
        });
        let radix = radix_of(frames);
        let zones = boot.facts.iter().filter_map(|(line, fact)| match fact {
            Fact::Zone(ZoneRange::Bytes(range)) => Some((*range, *line)),
            Fact::Zone(ZoneRange::Frames(range)) => {
                range.range(radix, self.page_bytes).ok().map(|range| (range, *line))
            }
            _ => None,
        });
        let zones: Vec<(PhysRange, usize)> = zones.filter(|(range, _)| !range.is_empty()).collect();
        if let Some((range, line)) = zones.iter().max_by_key(|(range, _)| range.end()) {
            // Some kernels let zones end at what they may have, not at what there is.
            let end = range.end().get();
            let is_whole_zone = ZONE_LIMITS.contains(&end) && self.top <= end;
            let agrees = end.abs_diff(self.top) < self.page_bytes || is_whole_zone;
            let (said, read) = (Quantity::Address(end), Quantity::Address(self.top));
            self.compare(Subject::EndOfRam, *line, agrees, said, read);
        }
        let first = self.memory.first().map(|(range, _)| range.start().get());
        let is_registered = self.table.notation == Notation::EARLY_NODE_RANGES;
        let lowest = zones.iter().min_by_key(|(range, _)| range.start());
        if let (true, Some((range, line)), Some(first)) = (is_registered, lowest, first) {
            // The first zone begins at the first memory, or at 0.
            let start = range.start().get();
            let agrees = start == 0 || start.abs_diff(first) < self.page_bytes;
            let (said, read) = (Quantity::Address(start), Quantity::Address(first));
            self.compare(Subject::StartOfRam, *line, agrees, said, read);
        }
    }
}

/// The ranges sorted, without empty ones, neighbours joined.
pub(super) fn joined(ranges: impl Iterator<Item = PhysRange>) -> Vec<PhysRange> {
    let paints: Vec<_> = ranges.map(|range| (range, RangeKind::Ram)).collect();
    greatest(&paints).into_iter().map(|(range, _)| range).collect()
}

/// The parts of the first ranges that are in none of the others.
pub(super) fn without(ranges: &[PhysRange], others: &[PhysRange]) -> Vec<PhysRange> {
    let own = ranges.iter().map(|range| (*range, false));
    let paints: Vec<_> = own.chain(others.iter().map(|range| (*range, true))).collect();
    let mut parts = Vec::new();
    for (range, taken) in greatest(&paints) {
        push(&mut parts, range, taken);
    }
    parts.into_iter().filter(|(_, taken)| !taken).map(|(range, _)| range).collect()
}
