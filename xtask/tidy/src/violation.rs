//! What a rule finds.

use std::fmt;

/// Whether a finding fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It fails.
    Error,
    /// It is only said.
    Warning,
}

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The file, from the workspace's root.
    pub(crate) path: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong there.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) remedy: &'static str,
    /// Whether it fails the run.
    pub(crate) weight: Weight,
}

impl Violation {
    /// A finding that fails the run.
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy, weight: Weight::Error }
    }

    /// A finding that is only said.
    pub(crate) fn warning(path: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { weight: Weight::Warning, ..Self::new(path, line, what, remedy) }
    }

    /// The finding as one line, with the name of its rule.
    pub(crate) fn named(&self, rule: &str) -> impl fmt::Display + use<> {
        let mark = if self.weight == Weight::Warning { "warning: " } else { "" };
        format!("{}:{}: {mark}{rule}: {}; {}", self.path, self.line, self.what, self.remedy)
    }
}
