//! The backends, by the names that users type.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// The place where a backend keeps what it knows of sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sections {
    /// A table with an entry per possible section.
    Table,
    /// A table of two levels, with roots allocated on demand.
    Roots,
    /// A record per section, in the array that has the descriptors.
    Records,
}

/// The place where a backend keeps descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// A block per section.
    Blocks,
    /// One virtual array, whose addresses are set aside before boot.
    Window,
    /// One array for the frames from the lowest to the highest of RAM.
    Bounded,
}

/// Declares [`Backend`] from the list of backends.
macro_rules! declare_backend {
    ({} $($(#[$doc:meta])* $variant:ident $module:ident $name:literal [$($model:tt)*]
        sections: $sections:ident, descriptors: $descriptors:ident;)*) => {
        /// A memory model of the workspace.
        ///
        /// ```
        /// use sparsemem_any::Backend;
        ///
        /// assert_eq!("vmemmap".parse(), Ok(Backend::Vmemmap));
        /// assert!("discontigmem".parse::<Backend>().is_err());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Backend {
            $($(#[$doc])* $variant,)*
        }

        impl Backend {
            /// All of them, in the order of reports.
            pub const ALL: [Self; [$(stringify!($variant)),*].len()] = [$(Self::$variant),*];

            /// The name that reports, commands and features use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The place where the backend keeps what it knows of sections.
            #[must_use]
            pub const fn sections(self) -> Sections {
                match self {
                    $(Self::$variant => Sections::$sections,)*
                }
            }

            /// The place where the backend keeps descriptors.
            #[must_use]
            pub const fn descriptors(self) -> Descriptors {
                match self {
                    $(Self::$variant => Descriptors::$descriptors,)*
                }
            }
        }
    };
}

crate::each_backend!(declare_backend {});

impl Backend {
    /// True if the backend's section table has two levels, with roots allocated on demand.
    #[must_use]
    pub const fn has_roots(self) -> bool {
        matches!(self.sections(), Sections::Roots)
    }

    /// True if the backend's descriptors lie in one virtual array, which it maps.
    #[must_use]
    pub const fn has_array(self) -> bool {
        matches!(self.descriptors(), Descriptors::Window)
    }

    /// True if it has descriptors for present sections only, and allocates them with each section. The others have one
    /// array with a bound, from which nothing is given back before the last section.
    #[must_use]
    pub const fn is_sparse(self) -> bool {
        !matches!(self.descriptors(), Descriptors::Bounded)
    }

    /// True if a frame follows from the address of its descriptor, so that descriptors need not be initialised.
    #[must_use]
    pub const fn finds_by_address(self) -> bool {
        !matches!(self.descriptors(), Descriptors::Blocks)
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
#[error("there is no backend `{name}`; use {}", Listed)]
pub struct UnknownBackend {
    /// The name that was given.
    pub name: String,
}

/// Prints the names of all backends.
struct Listed;

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Backend::ALL.into_iter().enumerate().try_for_each(|(nr, backend)| {
            let before = match nr {
                0 => "",
                _ if nr + 1 == Backend::ALL.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}{backend}")
        })
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        let found = Self::ALL.into_iter().find(|backend| backend.name() == name);
        found.ok_or_else(|| UnknownBackend { name: name.into() })
    }
}
