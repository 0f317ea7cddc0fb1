//! What reading a text gives, and how strict the reading is.

use sparsemem_core::{NodeId, PhysRange};

use crate::{E820Edit, Layout, LineError, MapTable, Notation};

/// What happens to memory lines that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Any of them fails the whole text, and the error has all of them.
    Strict,
    /// They are left out and returned as [`Parsed::warnings`].
    Lenient,
}

/// Something about the text that is no mistake and still worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The log has several boots; the last that says anything about memory counts.
    EarlierBoots {
        /// How many were left out.
        count: usize,
    },
    /// There is an iomem listing too, without addresses because it was not read as root; it was left out.
    HiddenAddresses {
        /// How many lines the listing has.
        lines: usize,
    },
    /// The kernel rejected what it was told about nodes, so no address has its node from there.
    RejectedNodes {
        /// How many ranges were rejected.
        ranges: usize,
    },
    /// The affinity table gives memory to two nodes. Linux on a PC rejects such a table and takes one node for everything;
    /// here the more specific range counts, unless the text shows what the kernel did.
    OverlappingNodes {
        /// The first such memory.
        range: PhysRange,
        /// The nodes, the lower one first.
        nodes: [NodeId; 2],
    },
    /// A line has bytes that are no UTF-8; they were read as replacement characters.
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
            Self::InvalidUtf8 { line } => write!(f, "line {line} has bytes that are no UTF-8"),
        }
    }
}

/// What a text says about a machine's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The physical layout.
    pub layout: Layout,
    /// The notation that gave it.
    pub notation: Notation,
    /// Every table of that boot, as printed; exactly one of them gave the layout.
    pub tables: Vec<MapTable>,
    /// The edits that are in [`Layout::kernel_view`], in order, without those that Linux always makes.
    pub edits: Vec<E820Edit>,
    /// Memory lines that were left out; only [`Mode::Lenient`] has any.
    pub warnings: Vec<LineError>,
    /// What else is worth telling.
    pub notes: Vec<Note>,
}
