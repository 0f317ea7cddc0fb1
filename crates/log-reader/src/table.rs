//! Tables as they stand in the text, before anything is resolved.

use sparsemem_core::{NodeId, PhysRange};

use crate::{Format, Kind};

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is. May be empty, and may overlap others.
    pub range: PhysRange,
    /// What it is.
    pub kind: Kind,
    /// The number of its e820 type: in e820-style tables always, elsewhere never. Where ranges overlap, the higher one
    /// counts.
    pub e820_type: Option<u32>,
    /// The node, if the line names one.
    pub node: Option<NodeId>,
}

/// A memory map of one notation, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The notation.
    pub format: Format,
    /// Its lines; of an iomem listing the ranges that its nesting comes to.
    pub entries: Vec<Entry>,
    /// Number of the first line, counted from 1.
    pub first_line: usize,
    /// Number of the last line, counted from 1.
    pub last_line: usize,
}

/// A change that a kernel made to its e820 table, as the log shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `e820: update [mem ..] from ==> to`.
    Update {
        /// Where.
        range: PhysRange,
        /// Which kind changes.
        from: Kind,
        /// What it becomes.
        to: Kind,
    },
    /// `e820: remove [mem ..] kind`.
    Remove {
        /// Where.
        range: PhysRange,
        /// Which kind goes; `None` for every kind.
        kind: Option<Kind>,
    },
}
