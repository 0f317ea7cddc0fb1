//! Every memory ordering of the product is explained by a comment close above.
//!
//! The rule reads lines: what stands behind `//` is a comment. Unit tests are at the end of a file, or in `tests.rs`, and need
//! no comment.

use super::Violation;
use crate::workspace::{TextFile, Workspace};

/// The memory orderings; those of comparison have other names.
const ORDERINGS: [&str; 5] = ["Acquire", "Release", "AcqRel", "Relaxed", "SeqCst"];

/// The number of lines above the statement within which the comment has to end.
const REACH: usize = 3;

pub(super) fn seen(workspace: &Workspace) -> String {
    format!("{} product files", workspace.product().count())
}

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.product().filter(|file| !file.path.ends_with("/tests.rs")).flat_map(of_file).collect()
}

fn of_file(file: &TextFile) -> Vec<Violation> {
    let lines = file.text.split("\nmod tests {").next().unwrap_or_default().lines();
    let lines: Vec<(&str, &str)> = lines.map(|line| line.split_once("//").unwrap_or((line, ""))).collect();
    let used = lines.iter().enumerate().filter_map(|(at, (code, _))| Some((at, ordering(code)?)));
    let bare = used.filter(|(at, _)| !is_explained(&lines, *at)).map(|(at, name)| {
        let what = format!("`Ordering::{name}` without a comment");
        let remedy = "say within three lines above why this one, by its name, and what it pairs with";
        Violation::new(&file.path, at + 1, what, remedy)
    });
    bare.collect()
}

/// The first memory ordering that `code` names.
fn ordering(code: &str) -> Option<&'static str> {
    ORDERINGS.into_iter().find(|name| code.contains(&format!("Ordering::{name}")))
}

/// True if a comment in this statement or close above speaks of an ordering.
fn is_explained(lines: &[(&str, &str)], at: usize) -> bool {
    let statement = lines[..at].iter().rev().take_while(|(code, _)| leads_on(code.trim())).count();
    let near = &lines[(at - statement).saturating_sub(REACH)..=at];
    near.iter().any(|(_, comment)| ORDERINGS.iter().any(|name| comment.contains(name)))
}

/// True if the line below belongs to the same statement: this one is an attribute, or code that ends nothing.
fn leads_on(code: &str) -> bool {
    !code.is_empty() && (code.starts_with("#[") || !code.ends_with([';', '{', '}', ',']))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::fixture::{short, source};

    fn said(text: &str) -> Vec<String> {
        short(&check(&source("sparsemem-section", text)))
    }

    #[test]
    fn explained_orderings_are_fine() {
        let text = "use core::cmp::Ordering;\n// Acquire: pairs with the store in `set`.\nlet a = b\n    .load(\n\
                    Ordering::Acquire);\nc.load(Ordering::Relaxed); // Relaxed: under the lock.\n\
                    d == Ordering::Less;\n#[cfg(test)]\nmod tests {\n\n\n e.load(Ordering::SeqCst);\n}\n";
        assert_eq!(said(text), [""; 0]);
        assert_eq!(short(&check(&source("sparsemem-machine", "a(Ordering::Acquire);"))), [""; 0]);
    }

    #[test]
    fn a_statement_over_many_lines_has_its_comment_above() {
        let text =
            "// Acquire: pairs with `set`.\na\n    .b()\n    .c()\n    .d()\n    .load(Ordering::Acquire);\n";
        assert_eq!(said(text), [""; 0]);
    }

    #[test]
    fn bare_or_far_orderings_are_violations() {
        let text =
            "// Acquire: too far.\n\n\n\na.load(Ordering::Acquire);\n// fine\nb.load(Ordering::Relaxed);\n";
        let expected =
            ["5: `Ordering::Acquire` without a comment", "7: `Ordering::Relaxed` without a comment"];
        assert_eq!(said(text), expected);
    }
}
