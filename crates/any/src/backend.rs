//! The backends, by the names that users type.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A memory model of the workspace.
///
/// ```
/// use sparsemem_any::Backend;
///
/// assert_eq!("sparse-extreme".parse(), Ok(Backend::SparseExtreme));
/// assert!("flatmem".parse::<Backend>().is_err());
/// ```
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

    /// The name that reports, commands and features use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClassicSparse => "classic-sparse",
            Self::SparseExtreme => "sparse-extreme",
            Self::Vmemmap => "vmemmap",
        }
    }

    /// Whether its section table has two levels, with roots allocated on demand.
    #[must_use]
    pub const fn has_roots(self) -> bool {
        match self {
            Self::ClassicSparse => false,
            Self::SparseExtreme | Self::Vmemmap => true,
        }
    }

    /// Whether its descriptors lie in one virtual array.
    #[must_use]
    pub const fn has_array(self) -> bool {
        match self {
            Self::ClassicSparse | Self::SparseExtreme => false,
            Self::Vmemmap => true,
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Backend {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The error for a name that no backend has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no backend `{name}`; use classic-sparse, sparse-extreme or vmemmap")]
pub struct UnknownBackend {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        let found = Self::ALL.into_iter().find(|backend| backend.name() == name);
        found.ok_or_else(|| UnknownBackend { name: name.into() })
    }
}
