//! Makes tables of the statements that have to wait for the end of the text.

use super::{Boot, Placed};
use crate::claims::{Claim, Class};
use crate::frames::radix_of;
use crate::listings::{Rows, lost};
use crate::{LineError, MapEntry, MapTable, Notation, RangeKind, Reason};

impl Boot {
    /// Makes tables of the statements that have to wait for the end of the text.
    pub(crate) fn finish(&mut self, errors: &mut Vec<LineError>) {
        self.finish_frames(errors);
        let pairs = self.tables.iter().zip(self.tables.iter().skip(1));
        let headless = pairs.filter(|(stray, _)| self.header_of(stray.first_line).is_none());
        let told: Vec<_> = headless.filter_map(|(stray, table)| self.before_header(stray, table)).collect();
        self.gaps.extend(told);
        let early = self.tables.iter().filter(|table| table.notation == Notation::EARLY_NODE_RANGES);
        let lost: Vec<_> =
            early.clone().zip(early.skip(1)).filter_map(|(one, next)| lost(one, next)).collect();
        self.gaps.extend(lost);
        self.finish_rows(errors);
        self.finish_blocks(errors);
        if !self.claims.iter().any(|claim| claim.class == Class::Fixed) {
            std::mem::take(&mut self.domains).into_iter().for_each(|(line, claim)| self.claim(line, claim));
        }
        if self.tables.is_empty() {
            self.finish_claims();
        }
    }

    /// Makes a table of the early ranges that are counted in frames, now that their notation is known.
    fn finish_frames(&mut self, errors: &mut Vec<LineError>) {
        let frames = std::mem::take(&mut self.frames);
        let radix = radix_of(frames.iter().map(|placed| &placed.item.1));
        let frame_bytes = self.page_bytes();
        self.closed = true;
        for Placed { line, text, item: (node, range) } in frames {
            match range.range(radix, frame_bytes) {
                Ok(range) => {
                    let entry = MapEntry::new(range, RangeKind::Ram, Some(node));
                    self.entry(line, Notation::EARLY_NODE_RANGES, entry);
                }
                Err(reason) => errors.push(LineError::new(line, &text, reason)),
            }
        }
        self.closed = true;
    }

    /// Makes tables of the iomem listings, if there are some.
    fn finish_rows(&mut self, errors: &mut Vec<LineError>) {
        let rows = Rows::without_comments(std::mem::take(&mut self.rows));
        if rows.are_hidden() {
            self.hidden_rows = rows.count();
        } else if rows.have_memory() {
            errors.extend(self.doubtful_rows.drain(..).map(Placed::into_error));
            let listings = rows.into_tables(errors);
            self.tables.extend(listings.tables);
            self.gaps.extend(listings.lost);
        }
    }

    /// Makes a table of the list of memory blocks, if there is one.
    fn finish_blocks(&mut self, errors: &mut Vec<LineError>) {
        let size = self.block_size;
        let mut entries = Vec::new();
        let mut lines = None;
        for Placed { line, text, item } in std::mem::take(&mut self.blocks) {
            match size.ok_or(Reason::NoBlockSize).and_then(|bytes| item.sized(bytes)) {
                Ok(sized) => {
                    entries.extend(sized.iter().map(|(entry, _)| *entry));
                    self.registered.extend(sized.iter().map(|(_, claim)| *claim));
                    lines = Some((lines.map_or(line, |(first, _)| first), line));
                }
                Err(reason) => errors.push(LineError::new(line, &text, reason)),
            }
        }
        if let Some((first_line, last_line)) = lines {
            self.tables.push(MapTable { notation: Notation::MEMORY_BLOCKS, entries, first_line, last_line });
        }
    }

    /// Makes a table of the affinity table, for a boot that has no other map.
    fn finish_claims(&mut self) {
        let kind = |class| match class {
            Class::Registered | Class::Fixed => Some(RangeKind::Ram),
            Class::Hull => None,
            Class::NonVolatile => Some(RangeKind::Persistent),
            Class::Window => Some(RangeKind::HotplugWindow),
        };
        let entry = |claim: &Claim| {
            let (range, node) = (claim.range, Some(claim.node));
            kind(claim.class).map(|kind| MapEntry::new(range, kind, node))
        };
        let entries: Vec<MapEntry> = self.claims.iter().filter_map(entry).collect();
        if !entries.is_empty() {
            let (first_line, last_line) = self.claim_lines;
            self.tables.push(MapTable { notation: Notation::SRAT, entries, first_line, last_line });
        }
    }
}
