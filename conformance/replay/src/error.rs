//! What can be wrong with a recording, or with the list of differences beside it.

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
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no JSON of a recording's shape.
    #[error("{file} is no recording: {source}")]
    Shape {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A value has the right shape and makes no sense.
    #[error("{file}: {place}: {what}")]
    Nonsense {
        /// The file.
        file: String,
        /// Where, as a path into the JSON: `steps[2].sections[3]`.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The list of differences beside the recording is no list of differences.
    #[error("{} is no list of differences: {source}", path.display())]
    Expectations {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: toml::de::Error,
    },
}

/// Something wrong at a place in a recording, before it is known which file it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where.
    pub(super) place: String,
    /// What.
    pub(super) what: String,
}

impl Wrong {
    /// A complaint.
    pub(super) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }

    /// The same, of a file.
    pub(super) fn of(self, file: &str) -> RecordingError {
        RecordingError::Nonsense { file: file.to_owned(), place: self.place, what: self.what }
    }
}
