//! Statements: the notations make them of lines, and a boot files them.
//!
//! # Invariants
//!
//! 1. Nothing here depends on a notation, so the notations do not depend on each other or on the use of their
//!    statements.

use sparsemem_core::{NodeId, PhysRange};

use crate::claims::Claim;
use crate::frames::FrameRange;
use crate::line::Line;
use crate::{E820Edit, MapEntry, Notation, Reason};

/// The meaning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// A kernel or hypervisor starts here.
    BootStart,
    /// The next entry begins a new table.
    TableStart,
    /// The rows that follow are early ranges, which need no word of their own.
    EarlyRangesStart,
    /// A line of a table.
    Entry(Notation, MapEntry),
    /// A line of the early node ranges that counts in frames.
    Frames(NodeId, FrameRange),
    /// A row of a listing that the text says is not of memory, such as the boot allocator's reservations.
    OtherListing,
    /// A change to the e820 table.
    Edit(E820Edit),
    /// The kernel lies in memory that is no RAM in its map, and makes RAM of it: the next edit removes the range, and
    /// the addition after it is not printed.
    KernelIsNoRam,
    /// The kernel gives up the memory from this address on.
    Limit(u64),
    /// The e820 table goes to the boot allocator here.
    MapTaken,
    /// A range belongs to a node.
    Claim(Claim),
    /// A range belongs to a proximity domain, which is a node of that number if no line says which node it is.
    DomainClaim(Claim),
    /// Several ranges belong to nodes.
    Claims(Vec<Claim>),
    /// The kernel rejects the claims of the lines before this one.
    Rejected,
    /// The kernel rejects these claims and takes one node for everything.
    Faked(Claim),
    /// The kernel takes this node and its neighbours, which it made up, instead of those of the firmware.
    FakedOneOf(Claim),
    /// The device tree keeps a range back.
    Reserved(PhysRange),
    /// A row of an iomem listing.
    Row(IomemRow),
    /// A row of an iomem listing that cannot be read, if the text has such a listing.
    DoubtfulRow(Reason),
    /// The bytes of a memory block.
    BlockSize(u64),
    /// The memory blocks of a node.
    Blocks(NodeBlocks),
    /// The notation knows the line, which has no range that counts.
    Nothing,
}

/// A row of an iomem listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IomemRow {
    pub(crate) range: PhysRange,
    pub(crate) name: String,
    /// The text before the range.
    pub(crate) prefix: String,
    /// Both addresses are zero, as the kernel shows them to users without privilege.
    pub(crate) zero: bool,
}

/// The memory blocks of one node: first and last number of each run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeBlocks {
    pub(crate) node: NodeId,
    pub(crate) runs: Vec<(u64, u64)>,
    /// The memory of the node, in KiB.
    pub(crate) kibibytes: Option<u64>,
}

/// The answer of a reader to a line: `None` if the line is not of its notation.
pub(crate) type Answer = Option<Result<Statement, Reason>>;

/// Reads a line of one notation.
pub(crate) type Reader = fn(&Line<'_>) -> Answer;

/// Lines that belong together, and the notations of the tables that they make.
pub(crate) struct Source {
    /// Notations that are equally preferred: of their tables the one that begins last counts. Empty if the lines make
    /// no table.
    pub(crate) notations: &'static [Notation],
    /// One reader per form of a line.
    pub(crate) readers: &'static [Reader],
}

impl Source {
    /// Offers a line to each reader.
    pub(crate) fn read(&self, line: &Line<'_>) -> Answer {
        self.readers.iter().find_map(|read| read(line))
    }
}

impl Statement {
    /// True for what only a kernel's or a hypervisor's own log has, not a listing of the running system.
    pub(crate) fn is_of_a_log(&self) -> bool {
        match self {
            Self::Entry(notation, _) => !matches!(*notation, Notation::LSMEM | Notation::MEMBLOCK),
            Self::Row(_) | Self::DoubtfulRow(_) | Self::BlockSize(_) | Self::Blocks(_) => false,
            Self::OtherListing | Self::Nothing | Self::TableStart | Self::EarlyRangesStart => false,
            // Nodes alone are those of the boot before.
            _ => !self.names_nodes(),
        }
    }

    /// True for what gives nodes to addresses: most kernels print it after their map, and some before it.
    pub(crate) fn names_nodes(&self) -> bool {
        matches!(self, Self::Claim(_) | Self::Claims(_) | Self::DomainClaim(_))
    }
}
