//! The backends, by the names that people type.

use std::fmt;

/// A memory model of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// A flat section table; descriptors through the section word.
    ClassicSparse,
    /// A two-level section table; descriptors through the section word.
    SparseExtreme,
    /// Descriptors in one virtual array on page tables.
    Vmemmap,
}

impl Backend {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 3] = [Self::ClassicSparse, Self::SparseExtreme, Self::Vmemmap];

    /// The name that reports and commands use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClassicSparse => "classic-sparse",
            Self::SparseExtreme => "sparse-extreme",
            Self::Vmemmap => "vmemmap",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
