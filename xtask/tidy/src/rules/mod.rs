//! The rules, one per file.
//!
//! A rule is a function from the workspace to what breaks it. To add one: a file, a line in [`RULES`].

mod absolute_paths;
mod default_features;
mod facts;
mod file_length;
mod floors;
mod forbid_unsafe;
mod manifests;
mod module_heads;
mod no_std;
mod orderings;
mod safety_comments;
mod unfinished;
mod white_space;

use super::violation::Violation;
use super::workspace::{Package, Workspace};

/// One rule with what people read of it.
pub(crate) struct Rule {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// What holds where it is kept.
    pub(crate) promise: &'static str,
    /// What it looks at.
    pub(crate) scope: Scope,
    /// Finds what breaks it.
    pub(crate) check: fn(&Workspace) -> Vec<Violation>,
}

/// What a rule looks at; the table says how many there were.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    Dependencies,
    Packages,
    KernelPackages,
    Sources,
    KernelSources,
    Files,
}

impl Scope {
    /// How many there are, with their name.
    pub(crate) fn count(self, workspace: &Workspace) -> String {
        match self {
            Self::Dependencies => {
                let all = workspace.packages.iter().flat_map(Package::normal_dependencies);
                format!("{} dependencies", all.count())
            }
            Self::Packages => format!("{} packages", workspace.packages.len()),
            Self::KernelPackages => format!("{} kernel crates", workspace.kernel_side().count()),
            Self::Sources => format!("{} sources", workspace.sources().count()),
            Self::KernelSources => {
                let all = workspace.kernel_side().flat_map(|package| &package.sources);
                format!("{} kernel files", all.count())
            }
            Self::Files => format!("{} texts", workspace.files.len()),
        }
    }
}

const fn rule(
    name: &'static str,
    promise: &'static str,
    scope: Scope,
    check: fn(&Workspace) -> Vec<Violation>,
) -> Rule {
    Rule { name, promise, scope, check }
}

/// Every rule, in the order in which the table shows them.
pub(crate) const RULES: &[Rule] = &[
    rule("floors", "dependencies lead down only", Scope::Dependencies, floors::check),
    rule("no-std", "kernels get no std, no alloc", Scope::KernelSources, no_std::check),
    rule("default-features", "nor do their dependencies", Scope::KernelPackages, default_features::check),
    rule("forbid-unsafe", "unsafe only with a reason", Scope::Packages, forbid_unsafe::check),
    rule("safety-comments", "every unsafe has its argument", Scope::Sources, safety_comments::check),
    rule("orderings", "every ordering is explained", Scope::KernelSources, orderings::check),
    rule("manifests", "workspace lints and licence", Scope::Packages, manifests::check),
    rule("module-heads", "every file says what it is", Scope::Sources, module_heads::check),
    rule("file-length", "no file is too long to read", Scope::Sources, file_length::check),
    rule("unfinished", "nothing is left for later", Scope::Sources, unfinished::check),
    rule("white-space", "no tabs, no trailing spaces", Scope::Sources, white_space::check),
    rule("facts", "cited facts of Linux are there", Scope::Files, facts::check),
    rule("absolute-paths", "nothing points outside", Scope::Files, absolute_paths::check),
];
