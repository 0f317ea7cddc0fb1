//! Sorts what one boot's part of a log says into tables and claims.
//!
//! # Invariants
//!
//! 1. Lines of one notation that follow each other, with or without other lines between them, are one table; a header
//!    or another notation ends it.
//! 2. After [`Boot::finish`] every source of ranges is a table.
//! 3. A claim that the kernel rejected gives no address its node. It still says where memory is or may be: the kernel
//!    objects to the nodes.

mod answers;
mod finish;

use sparsemem_core::{NodeId, PhysRange};

use crate::claims::{Claim, Class};
use crate::facts::Fact;
use crate::frames::{ALPHA_FRAME_BYTES, FrameRange};
use crate::line::Line;
use crate::notations::{clusters, efi, memblock};
use crate::statement::{IomemRow, NodeBlocks, Statement};
use crate::{Contradiction, E820Edit, LineError, MapEntry, MapTable, Notation, Processor, RangeKind, Reason};

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
    /// The kind of processor, if a line gives evidence.
    pub(crate) processor: Option<Processor>,
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
    /// The map is in a notation of kernels before 3.5.
    pub(crate) is_old: bool,
    /// The lines of nodes list their memory, as a kernel of PowerPC registered it, and nothing besides.
    pub(crate) lists_memory: bool,
    frames: Vec<Placed<(NodeId, FrameRange)>>,
    /// The rows that follow are of a listing that is none of memory.
    in_other_listing: bool,
    /// The claims of proximity domains.
    domains: Vec<(usize, Claim)>,
    /// The end of the run of made-up nodes, if the last claim was one of them.
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
    /// Takes over what another boot that has no map says besides its memory.
    pub(crate) fn join(&mut self, other: Self) {
        self.processor = self.processor.or(other.processor);
        self.frame_bytes = self.frame_bytes.or(other.frame_bytes);
        self.facts.extend(other.facts);
    }

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
                // MIPS kept its old form until 5.6; early ranges in bytes are as new as 3.4.
                self.is_old &= notation != Notation::EARLY_NODE_RANGES;
                if notation == Notation::CLUSTERS {
                    self.is_old = true;
                    self.frame_bytes = Some(ALPHA_FRAME_BYTES);
                }
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
            Statement::Claims(claims) => {
                self.lists_memory = true;
                self.sign(line, whole.sign());
                claims.into_iter().for_each(|claim| self.claim(line, claim));
            }
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
}

/// The number of a row of a listing that numbers its rows.
fn row_number(notation: Notation, line: Line<'_>) -> Option<u64> {
    let read = match notation {
        Notation::MEMBLOCK => memblock::row_number,
        Notation::EFI => efi::row_number,
        Notation::CLUSTERS => clusters::row_number,
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
