//! Failures of scenarios: the expected value, the value that was found, and the place.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use sparsemem_core::{Pfn, SectionNr, VirtAddr};

/// The place of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The model as a whole.
    Model,
    /// A section.
    Section(SectionNr),
    /// A frame.
    Frame(Pfn),
    /// A virtual address.
    Address(VirtAddr),
}

impl Place {
    /// The section of this number.
    #[must_use]
    pub const fn section(nr: u64) -> Self {
        Self::Section(SectionNr::new(nr))
    }

    /// The frame of this number.
    #[must_use]
    pub const fn frame(number: u64) -> Self {
        Self::Frame(Pfn::new(number))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => write!(f, "model"),
            Self::Section(nr) => write!(f, "section {nr}"),
            Self::Frame(pfn) => write!(f, "frame {pfn}"),
            Self::Address(at) => write!(f, "address {at}"),
        }
    }
}

/// An expectation of a scenario that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The section, frame or address.
    pub place: Place,
    /// The value that was checked.
    pub what: String,
    /// The expected value.
    pub expected: String,
    /// The value that was found.
    pub found: String,
}

impl Failure {
    /// The failure with these parts.
    #[must_use]
    pub fn new(place: Place, what: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { place, what: what.to_string(), expected: expected.into(), found: found.into() }
    }

    /// The same failure, with the action during which it occurred.
    #[must_use]
    pub fn during(mut self, doing: impl fmt::Display) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, expected, found } = self;
        write!(f, "{place}: {what}: expected {expected}, found {found}")
    }
}

impl core::error::Error for Failure {}

/// Fails unless the two are equal.
///
/// # Errors
///
/// [`Failure`] with both.
pub fn expect_eq<T: PartialEq + fmt::Debug>(
    place: Place,
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    Err(Failure::new(place, what, format!("{expected:?}"), format!("{found:?}")))
}

/// Fails unless `holds` is true.
///
/// # Errors
///
/// [`Failure`] with the value that was found instead.
pub fn expect(
    holds: bool,
    place: Place,
    what: &str,
    expected: &str,
    found: impl fmt::Debug,
) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(place, what, expected, format!("{found:?}"))) }
}
