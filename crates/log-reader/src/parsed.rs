//! The result of reading a text, and how strict the reading is.

use sparsemem_core::{NodeId, PhysRange};

use crate::{Agreement, Contradiction, E820Edit, Layout, LineError, MapTable, Notation, Processor};

/// The treatment of memory lines that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One such line fails the whole text, and the error has all of them.
    Strict,
    /// The reader leaves them out and returns them as [`Parsed::warnings`].
    Lenient,
}

/// A remark on the text about something that is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The log has several boots; the last that says anything about memory counts.
    EarlierBoots {
        /// The number of boots that the reader left out.
        count: usize,
    },
    /// The text also has an iomem listing without addresses, because it was not read as root; the reader left it out.
    HiddenAddresses {
        /// The number of lines of the listing.
        lines: usize,
    },
    /// The kernel rejected what the firmware says about nodes, so no address has its node from there.
    RejectedNodes {
        /// The number of ranges that the kernel rejected.
        ranges: usize,
    },
    /// The affinity table gives memory to two nodes. Linux on a PC rejects such a table and takes one node for
    /// everything; here the more specific range counts, unless the text shows the decision of the kernel.
    OverlappingNodes {
        /// The first such memory.
        range: PhysRange,
        /// The nodes, the lower one first.
        nodes: [NodeId; 2],
    },
    /// A line has bytes that are not UTF-8; the reader took replacement characters for them.
    InvalidUtf8 {
        /// Number of the line, counted from 1.
        line: usize,
    },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EarlierBoots { count } => write!(f, "{count} earlier boot(s) in the log were left out"),
            Self::HiddenAddresses { lines } => {
                write!(
                    f,
                    "an iomem listing of {lines} line(s) without addresses was left out; read it as root"
                )
            }
            Self::RejectedNodes { ranges } => {
                write!(f, "the kernel rejected {ranges} range(s) of nodes, which were left out")
            }
            Self::OverlappingNodes { range, nodes: [one, other] } => write!(
                f,
                "the affinity table gives {range} to node {one} and to node {other}; Linux on a PC rejects such a table"
            ),
            Self::InvalidUtf8 { line } => write!(f, "line {line} has bytes that are not UTF-8"),
        }
    }
}

/// The result of reading a text: what it says about a machine's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The physical layout.
    pub layout: Layout,
    /// The notation of the table that gives it.
    pub notation: Notation,
    /// Every table of that boot, as printed; exactly one of them gives the layout.
    pub tables: Vec<MapTable>,
    /// The edits that are in [`Layout::kernel_view`], in order, without those that Linux always makes.
    pub edits: Vec<E820Edit>,
    /// Memory lines that the reader left out; only [`Mode::Lenient`] has any.
    pub warnings: Vec<LineError>,
    /// Figures or lines of the log that disagree with the layout. If there are any, the layout may be wrong.
    pub contradictions: Vec<Contradiction>,
    /// The figures of the log that the layout agrees with, the strongest evidence first.
    pub agreements: Vec<Agreement>,
    /// The kind of processor, if lines of the log tell.
    pub processor: Option<Processor>,
    /// Bytes of a frame, if lines of the log tell.
    pub frame_bytes: Option<u64>,
    /// Remarks on the text.
    pub notes: Vec<Note>,
}
