//! Checks for stories, and their error texts.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Arguments, Debug};

/// The first check that failed.
#[derive(Debug)]
pub(crate) struct StoryError(String);

impl StoryError {
    /// The error in words.
    pub(super) fn new(what: Arguments<'_>) -> Self {
        Self(format!("{what}"))
    }
}

impl fmt::Display for StoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: core::error::Error> From<E> for StoryError {
    fn from(error: E) -> Self {
        Self(format!("{error}"))
    }
}

/// The value, or an error if there is none.
pub(super) fn some<T>(what: &str, found: Option<T>) -> Result<T, StoryError> {
    found.ok_or_else(|| StoryError::new(format_args!("{what}: there is none")))
}

/// Fails unless both are equal.
pub(super) fn same<T: PartialEq + Debug>(what: &str, expected: &T, found: &T) -> Result<(), StoryError> {
    if expected == found {
        return Ok(());
    }
    Err(StoryError::new(format_args!("{what}: expected {expected:?}, found {found:?}")))
}

/// Fails unless the condition is true.
pub(super) fn holds(what: &str, condition: bool) -> Result<(), StoryError> {
    if condition { Ok(()) } else { Err(StoryError::new(format_args!("{what}: this is not true"))) }
}

/// The error of a call that must fail; fails if the call succeeds, or fails for another reason.
pub(super) fn refusal<T, E: core::error::Error>(
    what: &str,
    result: Result<T, E>,
    is_it: impl FnOnce(&E) -> bool,
) -> Result<E, StoryError> {
    match result {
        Err(error) if is_it(&error) => {
            crate::say!("  refused: {error}");
            Ok(error)
        }
        Err(error) => {
            Err(StoryError::new(format_args!("{what} is refused, but for another reason: {error}")))
        }
        Ok(_) => Err(StoryError::new(format_args!("{what} must be refused, and is not"))),
    }
}
