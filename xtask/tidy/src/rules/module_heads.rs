//! Every Rust file begins with a `//!` head that says what it is.

use crate::source::Source;
use crate::violation::Violation;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.sources().filter_map(of_source).collect()
}

fn of_source(source: &Source) -> Option<Violation> {
    let first = source.lines.first().map_or("", |line| line.raw.as_str());
    let said = first.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    (!said).then(|| {
        let remedy = "begin it with `//! One sentence that says what it is.`";
        Violation::new(&source.path, 1, "the file has no head", remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn a_head_is_fine() {
        assert_eq!(short(&check(&library("xtask", "//! Says what it is.\nfn a() {}\n"))), [""; 0]);
    }

    #[test]
    fn none_or_an_empty_one_is_a_violation() {
        for text in ["", "fn a() {}\n//! Late.\n", "//!\n", "// Plain.\n"] {
            assert_eq!(short(&check(&library("xtask", text))), ["1: the file has no head"], "{text:?}");
        }
    }
}
