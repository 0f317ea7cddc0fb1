//! Sorts what one boot's part of a log says into tables and claims.
//!
//! # Invariants
//!
//! 1. Lines of one notation that follow each other, with or without other lines between them, are one table; a header
//!    or another notation ends it.
//! 2. After [`Boot::finish`] every source of ranges is a table.
//! 3. A claim that the kernel rejected gives no address its node. It still says where memory is or may be: the kernel
//!    objects to the nodes.

use std::collections::BTreeSet;

use sparsemem_core::{NodeId, PhysRange};

use crate::claims::{Claim, Class, overlap};
use crate::notations::iomem::{flattened, is_hidden};
use crate::notations::preference;
use crate::statement::{IomemRow, NodeBlocks, Statement};
use crate::{E820Edit, LineError, MapEntry, MapTable, Notation, Note, RangeKind, Reason};

/// A part of a statement, with the number and the text of its line.
struct Placed<T> {
    line: usize,
    text: String,
    item: T,
}

/// Everything that one boot says.
#[derive(Default)]
pub(crate) struct Boot {
    pub(crate) tables: Vec<MapTable>,
    /// The claims of the firmware and those that the kernel made of them, rejected or not.
    pub(crate) claims: Vec<Claim>,
    /// The kernel rejected that many of these, from the first on.
    rejected: usize,
    /// The claims that follow from the memory which the kernel registered in the end.
    registered: Vec<Claim>,
    pub(crate) reserved: Vec<PhysRange>,
    /// The number of rows of an iomem listing in which no row shows an address, otherwise 0.
    pub(crate) hidden_rows: usize,
    edits: Vec<(usize, E820Edit)>,
    /// The last line that says that the boot allocator takes the e820 table over.
    taken: Option<usize>,
    closed: bool,
    rows: Vec<Placed<IomemRow>>,
    doubtful_rows: Vec<Placed<Reason>>,
    block_size: Option<u64>,
    blocks: Vec<Placed<NodeBlocks>>,
    /// First and last line that says something about nodes.
    claim_lines: (usize, usize),
}

impl Boot {
    /// Files the statement of the line with that number.
    pub(crate) fn add(&mut self, line: usize, text: &str, item: Statement) {
        match item {
            Statement::BootStart | Statement::Nothing => {}
            Statement::TableStart => self.closed = true,
            Statement::Entry(notation, entry) => self.entry(line, notation, entry),
            Statement::Edit(edit) => self.edits.push((line, edit)),
            Statement::MapTaken => self.taken = Some(line),
            Statement::Claim(claim) => self.claim(line, claim),
            Statement::Rejected => self.rejected = self.claims.len(),
            Statement::Faked(claim) => {
                self.rejected = self.claims.len();
                self.claim(line, claim);
            }
            Statement::Reserved(range) => self.reserved.push(range),
            Statement::Row(item) => self.rows.push(placed(line, text, item)),
            Statement::DoubtfulRow(item) => self.doubtful_rows.push(placed(line, text, item)),
            Statement::BlockSize(bytes) => self.block_size = Some(bytes),
            Statement::Blocks(item) => self.blocks.push(placed(line, text, item)),
        }
    }

    /// Adds a line of a table.
    fn entry(&mut self, line: usize, notation: Notation, entry: MapEntry) {
        if let Some(node) = entry.node {
            self.registered.push(Claim::new(entry.range, node, Class::Registered));
        }
        let closed = std::mem::take(&mut self.closed);
        match self.tables.last_mut() {
            Some(table) if table.notation == notation && !closed => {
                table.entries.push(entry);
                table.last_line = line;
            }
            _ => self.tables.push(MapTable {
                notation,
                entries: vec![entry],
                first_line: line,
                last_line: line,
            }),
        }
    }

    /// Adds a claim.
    fn claim(&mut self, line: usize, claim: Claim) {
        let first = if self.claims.is_empty() { line } else { self.claim_lines.0 };
        self.claim_lines = (first, line);
        self.claims.push(claim);
    }

    /// Makes tables of the statements that have to wait for the end of the text.
    pub(crate) fn finish(&mut self, errors: &mut Vec<LineError>) {
        self.finish_rows(errors);
        self.finish_blocks(errors);
        if self.tables.is_empty() {
            self.finish_claims();
        }
    }

    /// Makes a table of the iomem listing, if there is one.
    fn finish_rows(&mut self, errors: &mut Vec<LineError>) {
        let rows: Vec<IomemRow> = self.rows.iter().map(|placed| placed.item.clone()).collect();
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return };
        errors.extend(self.doubtful_rows.drain(..).map(Placed::into_error));
        if is_hidden(&rows) {
            self.hidden_rows = rows.len();
            return;
        }
        let (first_line, last_line) = (first.line, last.line);
        self.tables.push(MapTable {
            notation: Notation::IOMEM,
            entries: flattened(&rows),
            first_line,
            last_line,
        });
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
        self.edits.iter().filter(|(line, _)| counts(*line)).map(|(_, edit)| *edit).collect()
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
    fn believed(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().skip(self.rejected)
    }
}

/// Puts a part of a statement with its line.
fn placed<T>(line: usize, text: &str, item: T) -> Placed<T> {
    Placed { line, text: text.to_owned(), item }
}

impl Placed<Reason> {
    /// The error of that line.
    fn into_error(self) -> LineError {
        LineError::new(self.line, &self.text, self.item)
    }
}
