//! The result of comparing a log with the map that was read from it.
//!
//! # Invariants
//!
//! 1. A contradiction names both figures and the lines that they stand on, in one sentence.

use std::fmt;

use sparsemem_core::{NodeId, PhysRange};

use crate::LineError;

/// Something that the log says in two ways, or cannot say as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contradiction {
    /// Two figures differ.
    Figures {
        /// The subject of both.
        subject: Subject,
        /// The figure that the log gives for it.
        said: Figure,
        /// The figure that follows from the map.
        read: Figure,
    },
    /// A memory line could not be read, so that the map is not whole.
    Unreadable(LineError),
    /// Rows that a comparison marked as removed, added or common are in one map.
    Compared {
        /// A row.
        line: usize,
        /// A row with another sign.
        other: usize,
    },
    /// A table that names the gaps between its rows says nothing of these addresses: a row is missing.
    Untold {
        /// The addresses.
        range: PhysRange,
        /// The first line of the table.
        first_line: usize,
        /// The line of its first gap.
        gap_line: usize,
    },
    /// The table of a PC begins above the memory that every PC has.
    NoFirstRow {
        /// The addresses of which it says nothing.
        range: PhysRange,
        /// The line of its header.
        header_line: usize,
        /// Its first line.
        first_line: usize,
    },
    /// The map of a kernel has no RAM.
    NoRam {
        /// The first line of the table.
        first_line: usize,
        /// The last one.
        last_line: usize,
    },
    /// The command line changes the map, and the log has no map after that.
    CommandLine {
        /// The option.
        option: String,
        /// The line of the command line.
        line: usize,
    },
    /// RAM of which no line says the node, in a log that says it of other RAM.
    NoNode {
        /// The RAM.
        range: PhysRange,
        /// The first line that names nodes.
        first_line: usize,
        /// The last one.
        last_line: usize,
    },
    /// Rows of a table stand before its header, and the table has other ones.
    BeforeHeader {
        /// The first of these rows.
        line: usize,
        /// The first row of the table that counts.
        first_line: usize,
    },
    /// A listing lacks RAM that an earlier one has.
    Listings {
        /// The RAM.
        range: PhysRange,
        /// The first line of the earlier listing.
        earlier_line: usize,
        /// The first line of the one that counts.
        first_line: usize,
    },
    /// Rows of a numbered listing are missing, or are there twice.
    Numbering {
        /// The line after which the numbering breaks off.
        after: usize,
        /// The line that goes on with another number.
        line: usize,
        /// The number that comes next.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
}

/// The subject of two figures, that of the strongest evidence first: a count of pages knows every page, an end knows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// The pages of a node.
    NodePages(NodeId),
    /// The memory that the kernel registered.
    Registered,
    /// Pages of sections with memory that are none themselves.
    Unavailable,
    /// The RAM of the machine.
    Ram,
    /// The memory that is online.
    Online,
    /// The memory that hibernation saves.
    Saved,
    /// The memory in the firmware's own map.
    FirmwareMap,
    /// The memory in the listing of the running system.
    Listing,
    /// The memory of a node, as the firmware or the kernel gives it.
    NodeMemory(NodeId),
    /// The range from the first to the last byte of a node.
    NodeSpan(NodeId),
    /// The start of RAM.
    StartOfRam,
    /// The end of RAM.
    EndOfRam,
    /// The number of early node ranges.
    EarlyRanges,
    /// The number of rows of the boot allocator's dump.
    AllocatorRows,
    /// The number of nodes.
    Nodes,
}

/// A figure with the lines that it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The figure.
    pub quantity: Quantity,
    /// The first line, counted from 1.
    pub first_line: usize,
    /// The last line.
    pub last_line: usize,
}

/// The value of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// Pages.
    Pages(u64),
    /// Units: 1024 bytes.
    Kibibytes(u64),
    /// Things of the subject.
    Count(u64),
    /// An address.
    Address(u64),
    /// RAM at these addresses.
    RamAt(PhysRange),
    /// No RAM at these addresses.
    NoRamAt(PhysRange),
}

/// A figure of the log that the map agrees with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The subject.
    pub subject: Subject,
    /// The figure.
    pub said: Figure,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pages(pages) => write!(f, "{pages} pages"),
            Self::Kibibytes(kibibytes) => write!(f, "{kibibytes} KiB"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Address(address) => write!(f, "{address:#x}"),
            Self::RamAt(range) => write!(f, "RAM at {range}"),
            Self::NoRamAt(range) => write!(f, "no RAM at {range}"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantity, first_line, last_line } = self;
        if first_line == last_line {
            write!(f, "{quantity} (line {first_line})")
        } else {
            write!(f, "{quantity} (lines {first_line} to {last_line})")
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => f.write_str("the memory that the kernel registered"),
            Self::NodePages(node) => write!(f, "the pages of node {node}"),
            Self::StartOfRam => f.write_str("the start of RAM"),
            Self::EndOfRam => f.write_str("the end of RAM"),
            Self::NodeSpan(node) => write!(f, "the reach of node {node}"),
            Self::Ram => f.write_str("the RAM of the machine"),
            Self::Nodes => f.write_str("the number of nodes"),
            Self::EarlyRanges => f.write_str("the number of early node ranges"),
            Self::Unavailable => f.write_str("the pages in unavailable ranges"),
            Self::AllocatorRows => f.write_str("the number of ranges of the boot allocator"),
            Self::Online => f.write_str("the memory that is online"),
            Self::Saved => f.write_str("the memory that hibernation saves"),
            Self::NodeMemory(node) => write!(f, "the memory of node {node}"),
            Self::FirmwareMap => f.write_str("the memory in the EFI map"),
            Self::Listing => f.write_str("the memory in /proc/iomem"),
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figures { subject, said, read } => {
                write!(f, "{subject}: the log says {said}, and its map gives {read}")
            }
            Self::Unreadable(error) => write!(f, "the map is not whole: {error}"),
            Self::Untold { range, first_line, gap_line } => write!(
                f,
                "the table from line {first_line} on has no row for {range}, though it names its gaps (line {gap_line})"
            ),
            Self::NoFirstRow { range, header_line, first_line } => write!(
                f,
                "the table under line {header_line} begins at line {first_line} and says nothing of {range}, where every \
                 PC has memory: a row is missing"
            ),
            Self::NoRam { first_line, last_line } => write!(
                f,
                "the map (lines {first_line} to {last_line}) has no RAM, which the kernel had: rows are missing"
            ),
            Self::CommandLine { option, line } => write!(
                f,
                "the command line changes the map (`{option}`, line {line}), and the log has no map after that: the rows \
                 of the user-defined map are missing"
            ),
            Self::NoNode { range, first_line, last_line } => write!(
                f,
                "the log gives nodes to memory (lines {first_line} to {last_line}), and none to the RAM at {range}: a line \
                 is missing"
            ),
            Self::BeforeHeader { line, first_line } => write!(
                f,
                "line {line} is a row of a table that stands before the header of the table at line {first_line}, which \
                 does not have it: the order changed, or this is the end of another log"
            ),
            Self::Listings { range, earlier_line, first_line } => write!(
                f,
                "the listing from line {earlier_line} on has RAM at {range}, and the one from line {first_line} on, which \
                 counts, has not: give one of them"
            ),
            Self::Compared { line, other } => write!(
                f,
                "the text compares two logs: line {line} and line {other} are of different ones; give one of them"
            ),
            Self::Numbering { after, line, expected, found } => write!(
                f,
                "a row is missing or out of order: after line {after} comes number {expected}, and line {line} has \
                 number {found}"
            ),
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::NodePages(_) => write!(f, "agrees with the kernel's own {}", self.said),
            subject => write!(f, "agrees with the log on {subject}: {}", self.said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_both_figures_and_both_lines() {
        let figure =
            |pages, first_line, last_line| Figure { quantity: Quantity::Pages(pages), first_line, last_line };
        let subject = Subject::NodePages(NodeId::new(1));
        let contradiction = Contradiction::Figures { subject, said: figure(5, 9, 9), read: figure(4, 1, 3) };
        assert_eq!(
            contradiction.to_string(),
            "the pages of node 1: the log says 5 pages (line 9), and its map gives 4 pages (lines 1 to 3)"
        );
        let agreement = Agreement { subject, said: figure(5, 9, 9) };
        assert_eq!(agreement.to_string(), "agrees with the kernel's own 5 pages (line 9)");
    }
}
