//! Errors in a recording, or in the list of differences in the same folder.

use std::path::PathBuf;

/// A recording that cannot be replayed: the file, the place in it, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is not JSON of a recording's shape.
    #[error("{file} is not a recording: {source}")]
    Shape {
        /// The file.
        file: String,
        /// The error, with line and column.
        source: serde_json::Error,
    },
    /// A value has the right type and is not valid.
    #[error("{file}: {place}: {what}")]
    Nonsense {
        /// The file.
        file: String,
        /// The path into the JSON: `steps[2].sections[3]`.
        place: String,
        /// The error.
        what: String,
    },
    /// The list of differences is not valid.
    #[error("{} is not a list of differences: {source}", path.display())]
    Expectations {
        /// The file.
        path: PathBuf,
        /// The error.
        source: toml::de::Error,
    },
}

/// An error at a place in a recording, before the file's name is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The path into the JSON.
    pub(super) place: String,
    /// The error.
    pub(super) what: String,
}

impl Wrong {
    /// An error with these parts.
    pub(super) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }

    /// The same error, with the file's name.
    pub(super) fn of(self, file: &str) -> RecordingError {
        RecordingError::Nonsense { file: file.to_owned(), place: self.place, what: self.what }
    }
}
