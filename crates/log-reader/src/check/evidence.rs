//! Compares a map with lines that only some kernels print: where the table begins, what hibernation saves, high memory, the
//! command line.
//!
//! # Invariants
//!
//! 1. A line that is there says something; that a line is not there says nothing, except where another line announces it.

use sparsemem_core::PhysRange;

use super::ranges::{joined, without};
use super::{Check, EXTENDED};
use crate::facts::Fact;
use crate::{Contradiction, Notation, Quantity, RangeKind, Subject, addresses};

/// The addresses below which every PC has memory, for its interrupt vectors.
const VECTORS: u64 = 0x1_0000;
/// Bytes of a page on SPARC.
const SPARC_PAGE: u64 = 0x2000;

impl Check<'_> {
    /// The firmware's table has a row for the lowest memory and one for that from 1 MiB on, which every PC has. Only below
    /// its header: people also paste parts of tables.
    pub(super) fn first_row(&mut self) {
        let (table, first_line) = (self.table, self.table.first_line);
        let Some(header_line) = self.boot.header_of(first_line) else { return };
        let is_of_pc = table.notation.is_edited_by_linux() || table.notation == Notation::LINUX_ON_XEN;
        if !is_of_pc || self.boot.has_own_map {
            return;
        }
        let named = joined(table.entries.iter().map(|entry| entry.range));
        let needed = [addresses::between(0, VECTORS), addresses::between(EXTENDED, EXTENDED + VECTORS)];
        let missing = needed.into_iter().find(|range| !named.iter().any(|named| named.overlaps(*range)));
        if let Some(range) = missing {
            self.contradictions.push(Contradiction::NoFirstRow { range, header_line, first_line });
        }
    }

    /// A kernel that printed its map has RAM. Who pastes rows of device memory alone, or a listing, shows something else.
    pub(super) fn some_ram(&mut self) {
        let is_asked = |kind| !matches!(kind, RangeKind::SoftReserved | RangeKind::Persistent);
        let is_map = self.is_boot_map() && self.table.entries.iter().any(|entry| is_asked(entry.kind));
        if self.memory.is_empty() && is_map {
            let (first_line, last_line) = (self.table.first_line, self.table.last_line);
            self.contradictions.push(Contradiction::NoRam { first_line, last_line });
        }
    }

    /// Hibernation saves all RAM up to the last line about it, except what an edit took later.
    pub(super) fn saved(&mut self) {
        let said = self.boot.facts.iter().filter_map(|(line, fact)| match fact {
            Fact::NotSaved(range) => Some((*line, *range)),
            _ => None,
        });
        let said: Vec<_> = said.collect();
        let (Some((first_line, _)), Some((last_line, _))) = (said.first(), said.last()) else { return };
        if !self.table.notation.is_edited_by_linux() {
            return;
        }
        let lines = (*first_line, *last_line);
        let not_saved = joined(said.iter().map(|(_, range)| *range));
        let end = not_saved.last().map_or(0, |range| range.end().get());
        let ram = joined(self.memory.iter().map(|(range, _)| *range));
        let edited = joined(self.boot.edited().chain(not_saved.iter().copied()));
        let named = joined(ram.iter().copied().chain(edited));
        let below = [addresses::between(0, end)];
        // Old kernels save the vectors of the BIOS.
        let whole =
            |range: &&PhysRange| range.count().get() >= self.page_bytes && range.end().get() > VECTORS;
        if let Some(range) = without(&below, &named).iter().find(whole) {
            return self.only_said(Subject::Saved, lines, *range);
        }
        let kept = joined(self.boot.edited());
        let surplus = without(&not_saved, &without(&[addresses::between(0, u64::MAX)], &ram));
        let surplus = without(&surplus, &kept);
        match surplus.iter().find(whole) {
            Some(range) => self.only_mapped(Subject::Saved, lines, *range),
            None => {
                let end = Quantity::Address(end);
                self.compare_lines(Subject::Saved, lines, true, end, end);
            }
        }
    }

    /// High and low memory are together what lies below the end of RAM; a kernel that names no high memory has none.
    pub(super) fn high_memory(&mut self) {
        let mebibytes = |of: fn(&Fact) -> Option<u64>| {
            self.boot.facts.iter().find_map(|(line, fact)| Some((*line, of(fact)?)))
        };
        let low = mebibytes(|fact| if let Fact::LowMib(low) = fact { Some(*low) } else { None });
        let high = mebibytes(|fact| if let Fact::HighMib(high) = fact { Some(*high) } else { None });
        let Some((line, low)) = low.filter(|_| self.is_boot_map()) else { return };
        let (line, said) = high.map_or((line, low), |(line, high)| (line, low.saturating_add(high)));
        let own = self.top >> 20;
        // Each of the two is rounded down.
        let agrees = (said..=said.saturating_add(1)).contains(&own);
        let address = |mebibytes: u64| Quantity::Address(mebibytes.saturating_mul(1 << 20));
        self.compare(Subject::EndOfRam, line, agrees, address(said), Quantity::Address(self.top));
    }

    /// The end of RAM, and its size. Each range may have lost parts of pages at both ends. On SPARC the size is that before
    /// the kernel took memory away.
    pub(super) fn top_and_total(&mut self, line: usize, top: u64, total: u64) {
        let agrees = top.abs_diff(self.top) < self.page_bytes;
        self.compare(Subject::EndOfRam, line, agrees, Quantity::Address(top), Quantity::Address(self.top));
        if self.page_bytes == SPARC_PAGE {
            return;
        }
        let own: u64 = self.memory.iter().map(|(range, _)| range.count().get()).sum();
        let lost = (self.memory.len() as u64).saturating_mul(2).saturating_mul(self.page_bytes);
        let kibibytes = |bytes: u64| Quantity::Kibibytes(bytes >> 10);
        let agrees = own <= total && total - own <= lost;
        self.compare(Subject::Ram, line, agrees, kibibytes(total), kibibytes(own));
    }

    /// After an option that changes the map, a PC prints the map again.
    pub(super) fn command_line(&mut self) {
        let option = self.boot.facts.iter().find_map(|(line, fact)| match fact {
            Fact::ChangesMap(option) => Some((*line, option.clone())),
            _ => None,
        });
        let Some((line, option)) = option else { return };
        let is_firmwares = self.table.notation.is_edited_by_linux() && !self.table.notation.is_of_user();
        if is_firmwares && !self.boot.has_early_ranges() && self.boot.edited().next().is_none() {
            self.contradictions.push(Contradiction::CommandLine { option, line });
        }
    }
}
