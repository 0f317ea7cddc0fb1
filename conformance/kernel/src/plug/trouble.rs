//! What went wrong in a story, in words.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Arguments, Debug};

/// The first thing that was not as it has to be.
#[derive(Debug)]
pub(crate) struct Trouble(String);

impl Trouble {
    /// Trouble in words.
    pub(super) fn new(what: Arguments<'_>) -> Self {
        Self(format!("{what}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: core::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(format!("{error}"))
    }
}

/// Fails unless both are the same.
pub(super) fn same<T: PartialEq + Debug>(what: &str, expected: &T, found: &T) -> Result<(), Trouble> {
    if expected == found {
        Ok(())
    } else {
        Err(Trouble::new(format_args!("{what}: expected {expected:?}, found {found:?}")))
    }
}

/// Fails unless it holds.
pub(super) fn holds(what: &str, condition: bool) -> Result<(), Trouble> {
    if condition { Ok(()) } else { Err(Trouble::new(format_args!("{what}: it is not so"))) }
}

/// The error that something has to end with; fails if it does not fail, or for another reason.
pub(super) fn refusal<T, E: core::error::Error>(
    what: &str,
    result: Result<T, E>,
    is_it: impl FnOnce(&E) -> bool,
) -> Result<E, Trouble> {
    match result {
        Err(error) if is_it(&error) => Ok(error),
        Err(error) => Err(Trouble::new(format_args!("{what} is refused, but for another reason: {error}"))),
        Ok(_) => Err(Trouble::new(format_args!("{what} has to be refused, and is not"))),
    }
}
