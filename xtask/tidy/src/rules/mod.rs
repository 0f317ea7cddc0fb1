//! The rules, one per file.
//!
//! A rule is a function from the workspace to what breaks it. To add one: a file, a line in [`RULES`]. What rustc, clippy,
//! rustfmt or cargo can refuse is no rule here: the lints are in the workspace's manifest.

mod facts;
mod file_size;
mod floors;
mod orderings;
mod packages;

use super::workspace::Workspace;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The file, from the workspace's root.
    pub(crate) path: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The fault in that line.
    pub(crate) what: String,
    /// The remedy.
    pub(crate) remedy: &'static str,
}

impl Violation {
    fn new(path: &str, line: usize, what: String, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), line, what, remedy }
    }
}

/// One rule with what people read of it.
pub(crate) struct Rule {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// The sentence that is true where the rule is kept.
    pub(crate) promise: &'static str,
    /// Counts what it looks at.
    pub(crate) seen: fn(&Workspace) -> String,
    /// Finds what breaks it.
    pub(crate) check: fn(&Workspace) -> Vec<Violation>,
}

const fn rule(
    name: &'static str,
    promise: &'static str,
    seen: fn(&Workspace) -> String,
    check: fn(&Workspace) -> Vec<Violation>,
) -> Rule {
    Rule { name, promise, seen, check }
}

/// Every rule, in the order in which the table shows them.
pub(crate) const RULES: &[Rule] = &[
    rule("floors", "dependencies lead down only", floors::seen, floors::check),
    rule("orderings", "every ordering is explained", orderings::seen, orderings::check),
    rule("file-size", "no file is long, few are scraps", file_size::seen, file_size::check),
    rule("facts", "cited facts of Linux are there", facts::seen, facts::check),
    rule("packages", "each package stands alone", packages::seen, packages::check),
];
