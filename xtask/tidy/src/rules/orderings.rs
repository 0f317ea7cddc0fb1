//! Every memory ordering of a kernel-side crate is explained by a comment close above.

use crate::source::Source;
use crate::violation::Violation;
use crate::workspace::Workspace;

/// The memory orderings; those of comparison have other names.
const ORDERINGS: [&str; 5] = ["Acquire", "Release", "AcqRel", "Relaxed", "SeqCst"];

/// How many lines above the statement the comment may end.
const REACH: usize = 3;

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.kernel_side().flat_map(|package| &package.sources).flat_map(of_source).collect()
}

fn of_source(source: &Source) -> Vec<Violation> {
    let used = source.shipped().filter_map(|(line, text)| Some((line, ordering(&text.code)?)));
    used.filter(|(line, _)| !is_explained(source, *line))
        .map(|(line, name)| {
            let what = format!("`Ordering::{name}` without a comment");
            let remedy =
                "say within three lines above why this ordering, by its name, and what it pairs with";
            Violation::new(&source.path, line, what, remedy)
        })
        .collect()
}

/// The first memory ordering that `code` names.
fn ordering(code: &str) -> Option<&'static str> {
    ORDERINGS.into_iter().find(|name| code.contains(&format!("Ordering::{name}")))
}

/// Whether a comment in this statement or close above speaks of an ordering.
fn is_explained(source: &Source, line: usize) -> bool {
    let above = &source.lines[..line - 1];
    let start = above.len() - above.iter().rev().take_while(|text| text.leads_on()).count();
    let near = &source.lines[start.saturating_sub(REACH)..line];
    near.iter().any(|text| ORDERINGS.iter().any(|name| text.comment.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn explained_orderings_are_fine() {
        let text = "use core::cmp::Ordering;\n// Acquire: pairs with the store in `set`.\nlet a = b\n    .load(\n\
                    Ordering::Acquire);\nc.load(Ordering::Relaxed); // Relaxed: under the lock.\n\
                    d == Ordering::Less;\n#[cfg(test)]\nmod tests {\n\n\n e.load(Ordering::SeqCst);\n}\n";
        assert_eq!(short(&check(&library("sparsemem-section", text))), [""; 0]);
        assert_eq!(short(&check(&library("sparsemem-machine", "a(Ordering::Acquire);"))), [""; 0]);
    }

    #[test]
    fn a_statement_over_many_lines_has_its_comment_above() {
        let text =
            "// Acquire: pairs with `set`.\na\n    .b()\n    .c()\n    .d()\n    .load(Ordering::Acquire);\n";
        assert_eq!(short(&check(&library("sparsemem-section", text))), [""; 0]);
    }

    #[test]
    fn bare_or_far_orderings_are_violations() {
        let text =
            "// Acquire: too far.\n\n\n\na.load(Ordering::Acquire);\n// fine\nb.load(Ordering::Relaxed);\n";
        assert_eq!(
            short(&check(&library("sparsemem-section", text))),
            ["5: `Ordering::Acquire` without a comment", "7: `Ordering::Relaxed` without a comment"]
        );
    }
}
