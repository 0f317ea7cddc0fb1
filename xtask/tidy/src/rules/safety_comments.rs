//! Every `unsafe` block and every `unsafe impl` has a `// SAFETY:` comment directly above its statement.

use crate::scan::Line;
use crate::source::Source;
use crate::violation::Violation;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.sources().flat_map(of_source).collect()
}

fn of_source(source: &Source) -> Vec<Violation> {
    let bare = source.lines.iter().enumerate().filter(|(at, line)| {
        let next = source.lines.get(at + 1).map_or("", |line| line.code.as_str());
        needs_argument(&line.code, next) && !has_argument(&source.lines, *at)
    });
    bare.map(|(at, _)| {
        let remedy = "write the argument as `// SAFETY: ..` directly above";
        Violation::new(&source.path, at + 1, "`unsafe` without its argument", remedy)
    })
    .collect()
}

/// Whether a line opens an unsafe block or implements an unsafe trait; `next` is the code of the line below.
fn needs_argument(code: &str, next: &str) -> bool {
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code[..at].chars().next_back();
        let behind = format!("{} {}", &code[at + word.len()..], next);
        let behind = behind.trim_start();
        let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        is_word && (behind.starts_with('{') || behind.starts_with("impl"))
    })
}

/// Whether the argument stands on the line itself or in the comment above the statement.
fn has_argument(lines: &[Line], at: usize) -> bool {
    if lines[at].comment.contains("SAFETY:") {
        return true;
    }
    let above = lines[..at].iter().rev();
    let mut above = above.skip_while(|line| line.leads_on()).peekable();
    let is_comment = |line: &&Line| line.is_comment();
    std::iter::from_fn(|| above.next_if(|line| is_comment(line))).any(|line| line.comment.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn arguments_above_the_statement_are_seen() {
        let text = "// SAFETY: 1. because.\nunsafe impl A for B {}\n\
                    fn f() {\n    // SAFETY: a\n    // long one.\n    let x =\n        unsafe { g() };\n\
                    // SAFETY: so.\n    #[rustfmt::skip]\n    unsafe { h() }\n\
                    unsafe { i() } // SAFETY: here.\n}\n\
                    unsafe fn j() {}\nfn k(f: unsafe fn(), s: &str) { l(\"unsafe {}\") }\n\
                    #[unsafe(no_mangle)]\nfn not_unsafe() {}\n";
        assert_eq!(short(&check(&library("sparsemem-core", text))), [""; 0]);
    }

    #[test]
    fn unsafe_without_argument_is_a_violation() {
        let text = "unsafe impl A for B {}\nfn f() {\n    // SAFETY: of another.\n    a();\n    unsafe { b() };\n\
                    // It is fine.\n    unsafe\n    { c() }\n}\n";
        let what = "`unsafe` without its argument";
        assert_eq!(
            short(&check(&library("sparsemem-core", text))),
            [format!("1: {what}"), format!("5: {what}"), format!("7: {what}")]
        );
    }
}
