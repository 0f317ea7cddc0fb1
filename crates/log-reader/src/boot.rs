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
use crate::facts::Fact;
use crate::frames::{FRAME_BYTES, FrameRange, radix_of};
use crate::line::Line;
use crate::listings::Rows;
use crate::notations::{efi, memblock, preference};
use crate::statement::{IomemRow, NodeBlocks, Statement};
use crate::{
    Contradiction, E820Edit, LineError, MapEntry, MapTable, Notation, Note, RangeKind, Reason, addresses,
};

/// A part of a statement, with the number and the text of its line.
pub(crate) struct Placed<T> {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) item: T,
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
    /// The next edit removes the place of the kernel, which becomes RAM.
    kernel_is_no_ram: bool,
    /// The address from which on the kernel gave memory up.
    pub(crate) limit: Option<(usize, u64)>,
    /// Bytes of a frame, if a line gives evidence.
    pub(crate) frame_bytes: Option<u64>,
    /// The figures that the log says, with their lines.
    pub(crate) facts: Vec<(usize, Fact)>,
    /// Breaks in the numbering of rows.
    pub(crate) gaps: Vec<Contradiction>,
    /// The number of the last row that has one, its notation and its line.
    numbered: Option<(Notation, u64, usize)>,
    /// The user's map need not be made of the firmware's.
    pub(crate) has_own_map: bool,
    /// The sign before the first row, and its line.
    signed: Option<(Option<char>, usize)>,
    /// First lines of tables with the lines of their headers.
    pub(crate) headers: Vec<(usize, usize)>,
    /// The map is in the notation of kernels before 3.5.
    pub(crate) is_old: bool,
    frames: Vec<Placed<(NodeId, FrameRange)>>,
    /// The rows that follow are of a listing that is none of memory.
    in_other_listing: bool,
    /// The claims of proximity domains.
    domains: Vec<(usize, Claim)>,
    /// Where the run of made-up nodes ends, if the last claim was one of them.
    faked: Option<usize>,
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
    /// Files the statement that the message of the line with that number makes.
    pub(crate) fn add(&mut self, line: usize, whole: Line<'_>, message: Line<'_>, item: Statement) {
        let text = whole.raw;
        match item {
            Statement::BootStart | Statement::Nothing => {}
            Statement::TableStart | Statement::EarlyRangesStart => {
                (self.closed, self.in_other_listing) = (true, false);
            }
            Statement::OtherListing => self.in_other_listing = true,
            Statement::Entry(notation, entry) => {
                self.number(line, message, notation);
                self.sign(line, whole.sign());
                self.is_old |= notation.is_e820_style() && !text.contains("[mem");
                if notation != Notation::MEMBLOCK || !self.in_other_listing {
                    self.entry(line, notation, entry);
                }
            }
            Statement::Frames(node, range) => self.frames.push(placed(line, text, (node, range))),
            Statement::KernelIsNoRam => self.kernel_is_no_ram = true,
            Statement::Limit(bytes) => self.limit = Some((line, bytes)),
            Statement::Edit(edit) => self.edit(line, edit),
            Statement::MapTaken => self.taken = Some(line),
            Statement::Claim(claim) => self.claim(line, claim),
            Statement::DomainClaim(claim) => self.domains.push((line, claim)),
            Statement::Claims(claims) => claims.into_iter().for_each(|claim| self.claim(line, claim)),
            Statement::FakedOneOf(claim) => {
                if self.faked != Some(self.claims.len()) {
                    self.rejected = self.claims.len();
                }
                self.claim(line, claim);
                self.faked = Some(self.claims.len());
            }
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
    fn before_header(&self, stray: &MapTable, table: &MapTable) -> Option<Contradiction> {
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

    /// True if nothing of a map was filed yet.
    pub(crate) fn is_blank(&self) -> bool {
        let is_empty = self.tables.is_empty() && self.frames.is_empty() && self.rows.is_empty();
        is_empty && self.claims.is_empty() && self.blocks.is_empty() && self.reserved.is_empty()
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

    /// Holds the number of a row against that of the row before it.
    fn number(&mut self, line: usize, message: Line<'_>, notation: Notation) {
        let Some(found) = row_number(notation, message) else { return };
        if let Some((_, last, after)) = self.numbered.filter(|(other, ..)| *other == notation) {
            if found == 0 {
                // Without a heading, the second listing of the boot allocator is that of its reservations.
                self.in_other_listing |= !self.closed;
            } else if found != last.saturating_add(1) {
                let expected = last.saturating_add(1);
                self.gaps.push(Contradiction::Numbering { after, line, expected, found });
            }
        }
        self.numbered = Some((notation, found, line));
    }

    /// Holds the sign of a comparison before a row against those before other rows.
    fn sign(&mut self, line: usize, sign: Option<char>) {
        let (first, other) = *self.signed.get_or_insert((sign, line));
        if first != sign && !self.gaps.iter().any(|gap| matches!(gap, Contradiction::Compared { .. })) {
            self.gaps.push(Contradiction::Compared { line: other, other: line });
        }
    }

    /// The last line that says that the boot allocator takes the e820 table over.
    pub(crate) fn taken(&self) -> Option<usize> {
        self.taken
    }

    /// Adds an edit.
    fn edit(&mut self, line: usize, edit: E820Edit) {
        self.edits.push((line, edit));
        if let (true, E820Edit::Remove { range, kind: None }) = (self.kernel_is_no_ram, edit) {
            self.kernel_is_no_ram = false;
            self.edits.push((line, E820Edit::Add { range, kind: RangeKind::Ram }));
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
        self.finish_frames(errors);
        let pairs = self.tables.iter().zip(self.tables.iter().skip(1));
        let headless = pairs.filter(|(stray, _)| self.header_of(stray.first_line).is_none());
        let told: Vec<_> = headless.filter_map(|(stray, table)| self.before_header(stray, table)).collect();
        self.gaps.extend(told);
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
        let frame_bytes = self.frame_bytes.unwrap_or(FRAME_BYTES);
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

/// The number of a row of a listing that numbers its rows.
fn row_number(notation: Notation, line: Line<'_>) -> Option<u64> {
    let read = match notation {
        Notation::MEMBLOCK => memblock::row_number,
        Notation::EFI => efi::row_number,
        _ => return None,
    };
    read(line.message)
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
