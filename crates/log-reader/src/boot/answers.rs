//! The answers of one boot, once all of its lines are filed.

use std::collections::BTreeSet;

use sparsemem_core::{NodeId, PhysRange};

use super::Boot;
use crate::claims::{Claim, Class, overlap};
use crate::facts::Fact;
use crate::frames::FRAME_BYTES;
use crate::notations::preference;
use crate::{Contradiction, E820Edit, MapTable, Notation, Note, RangeKind, addresses};

impl Boot {
    /// The line of the header that stands directly above the table with that first line.
    pub(crate) fn header_of(&self, first_line: usize) -> Option<usize> {
        self.headers.iter().find(|(first, _)| *first == first_line).map(|(_, header)| *header)
    }

    /// Rows of this boot's first table that stand before its header, where they look like another boot: they are all that
    /// there is of it, and this table has other ones.
    pub(crate) fn rows_before_header(&self, earlier: &Self) -> Option<Contradiction> {
        let (table, [stray]) = (self.tables.first()?, earlier.tables.as_slice()) else { return None };
        let is_all = earlier.facts.is_empty() && earlier.claims.is_empty() && earlier.edits.is_empty();
        if is_all { self.before_header(stray, table) } else { None }
    }

    /// The contradiction that rows without a header are not in the table below them that has one.
    pub(super) fn before_header(&self, stray: &MapTable, table: &MapTable) -> Option<Contradiction> {
        let is_below = stray.notation == table.notation && self.header_of(table.first_line).is_some();
        let is_known = stray.entries.iter().all(|entry| table.entries.contains(entry));
        let (line, first_line) = (stray.first_line, table.first_line);
        (is_below && !is_known).then_some(Contradiction::BeforeHeader { line, first_line })
    }

    /// First and last line that says something about nodes.
    pub(crate) fn claim_lines(&self) -> (usize, usize) {
        self.claim_lines
    }

    /// True if the log shows the memory that the kernel registered.
    pub(crate) fn has_early_ranges(&self) -> bool {
        self.tables.iter().any(|table| table.notation == Notation::EARLY_NODE_RANGES)
    }

    /// Bytes of a page, of 4 KiB if nothing gives evidence.
    pub(crate) fn page_bytes(&self) -> u64 {
        self.frame_bytes.unwrap_or(FRAME_BYTES)
    }

    /// The page totals of the nodes.
    pub(crate) fn totals(&self) -> Vec<(NodeId, u64)> {
        let total = |(_, fact): &(usize, Fact)| match fact {
            Fact::TotalPages(node, pages) => Some((*node, *pages)),
            _ => None,
        };
        self.facts.iter().filter_map(total).collect()
    }

    /// True if nothing of a map was filed yet.
    pub(crate) fn is_blank(&self) -> bool {
        let is_empty = self.tables.is_empty() && self.frames.is_empty() && self.rows.is_empty();
        is_empty && self.claims.is_empty() && self.blocks.is_empty() && self.reserved.is_empty()
    }

    /// The last line that says that the boot allocator takes the e820 table over.
    pub(crate) fn taken(&self) -> Option<usize> {
        self.taken
    }

    /// The table that gives the layout (see [`Notation`]).
    pub(crate) fn chosen(&self) -> Option<&MapTable> {
        self.tables.iter().max_by_key(|table| (preference(table.notation), table.first_line))
    }

    /// The edits that the kernel made after the last line of the table and before the boot allocator took it over.
    /// Later edits are about pieces that the kernel then allocated; earlier ones are in the table already.
    pub(crate) fn edits_of(&self, table: &MapTable) -> Vec<E820Edit> {
        if !table.notation.is_e820_style() {
            return Vec::new();
        }
        let end = self.taken.filter(|taken| *taken > table.last_line).unwrap_or(usize::MAX);
        let counts = |line: usize| line > table.last_line && line < end;
        let edits = self.edits.iter().filter(|(line, _)| counts(*line)).map(|(_, edit)| *edit);
        let limit = self.limit.map(|(_, limit)| E820Edit::Remove {
            range: addresses::between(limit, u64::MAX),
            kind: Some(RangeKind::Ram),
        });
        edits.chain(limit).collect()
    }

    /// The ranges of all edits that the log shows.
    pub(crate) fn edited(&self) -> impl Iterator<Item = PhysRange> {
        self.edits.iter().map(|(_, edit)| match *edit {
            E820Edit::Update { range, .. } | E820Edit::Remove { range, .. } | E820Edit::Add { range, .. } => {
                range
            }
        })
    }

    /// True if the kernel registered page 0, as those before 2.6.32 did.
    pub(crate) fn registers_page_zero(&self) -> bool {
        self.registered.iter().any(|claim| claim.range.start().get() == 0 && !claim.range.is_empty())
    }

    /// The claims that count: without those that the kernel rejected.
    pub(crate) fn valid_claims(&self) -> Vec<Claim> {
        self.believed().chain(&self.registered).copied().collect()
    }

    /// Every node that one of these claims names.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.believed().chain(&self.registered).map(|claim| claim.node).collect()
    }

    /// The remarks on the nodes.
    pub(crate) fn notes(&self) -> impl Iterator<Item = Note> {
        let rejected = self.claims.iter().take(self.rejected).filter(|claim| claim.class != Class::Hull);
        let ranges = rejected.count();
        let rejected = (ranges > 0).then_some(Note::RejectedNodes { ranges });
        let overlap = overlap(self.believed()).map(|(range, nodes)| Note::OverlappingNodes { range, nodes });
        rejected.into_iter().chain(overlap)
    }

    /// The claims of the firmware, without those that the kernel rejected.
    pub(crate) fn believed(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().skip(self.rejected)
    }
}
