//! Differences from Linux that are meant: a list beside the recordings, entry by entry.
//!
//! # Invariants
//!
//! 1. An entry explains exactly one difference per backend, with both values; what it says must still be so.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::error::RecordingError;
use sparsemem_any::Backend;

/// Name of the list, in the folder of the recordings.
pub(super) const FILE: &str = "expectations.toml";

/// A difference that is meant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// The recording's file name.
    pub(super) file: String,
    /// The step, counted from 0.
    pub(super) step: usize,
    /// The backends that differ; all of them if none is named.
    #[serde(default, deserialize_with = "backends")]
    pub(super) backends: Vec<Backend>,
    /// What the fact is about, as differences name it: `section 6 flags`.
    pub(super) what: String,
    /// What was recorded.
    pub(super) expected: String,
    /// What this project has.
    pub(super) actual: String,
    /// Why; for people.
    pub(super) reason: String,
}

/// Backends by their names.
fn backends<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Backend>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| name.parse().map_err(serde::de::Error::custom)).collect()
}

/// The list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectations {
    #[serde(default)]
    pub(super) difference: Vec<Expectation>,
}

impl Expectations {
    /// The list in a folder; an empty one if the folder has none.
    pub(super) fn beside(recording: &Path) -> Result<Self, RecordingError> {
        let path = recording.with_file_name(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(source) => Err(RecordingError::Unreadable { path, source }),
        }
    }

    /// The list in a text; errors name `path`.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, RecordingError> {
        let list: Self = toml::from_str(text)
            .map_err(|source| RecordingError::Expectations { path: path.to_owned(), source })?;
        match list.difference.iter().find(|entry| entry.reason.trim().is_empty()) {
            Some(entry) => Err(RecordingError::Nonsense {
                file: path.display().to_string(),
                place: format!("{} step {} {}", entry.file, entry.step, entry.what),
                what: "a difference needs a reason".to_owned(),
            }),
            None => Ok(list),
        }
    }

    /// The entries for a recording on a backend.
    pub(super) fn of<'e>(&'e self, file: &'e str, backend: Backend) -> impl Iterator<Item = &'e Expectation> {
        let is_for =
            move |entry: &&Expectation| entry.backends.is_empty() || entry.backends.contains(&backend);
        self.difference.iter().filter(move |entry| entry.file == file).filter(is_for)
    }
}
