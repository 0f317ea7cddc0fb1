//! Intended differences from Linux: a list in the recordings' folder.
//!
//! # Invariants
//!
//! 1. An entry explains exactly one difference per model, with both values; the difference must still exist.

use std::path::Path;

use serde::Deserialize;

use super::error::RecordingError;

/// The file name of the list, in the recordings' folder.
pub(super) const FILE: &str = "expectations.toml";

/// An intended difference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// The recording's file name.
    pub(super) file: String,
    /// The step, counted from 0.
    pub(super) step: usize,
    /// The names of the models that differ; all if none is named.
    #[serde(default)]
    pub(super) backends: Vec<String>,
    /// The fact, as differences name it: `section 6 flags`.
    pub(super) what: String,
    /// The recorded value.
    pub(super) expected: String,
    /// The value of this project.
    pub(super) actual: String,
    /// The reason, for readers.
    pub(super) reason: String,
}

/// The list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectations {
    #[serde(default)]
    pub(super) difference: Vec<Expectation>,
}

impl Expectations {
    /// The list in a recording's folder; empty if the folder has none.
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

    /// The entries for a recording on a model of this name.
    pub(super) fn of<'e>(&'e self, file: &'e str, model: &'e str) -> impl Iterator<Item = &'e Expectation> {
        let is_for = move |entry: &&Expectation| {
            entry.backends.is_empty() || entry.backends.iter().any(|name| name == model)
        };
        self.difference.iter().filter(move |entry| entry.file == file).filter(is_for)
    }
}
