//! No tabs and no spaces at the end of a line.

use crate::source::Source;
use crate::violation::Violation;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.sources().flat_map(of_source).collect()
}

fn of_source(source: &Source) -> Vec<Violation> {
    let wrong = source.numbered().filter_map(|(number, line)| Some((number, fault(&line.raw)?)));
    wrong.map(|(number, (what, remedy))| Violation::new(&source.path, number, what, remedy)).collect()
}

fn fault(line: &str) -> Option<(&'static str, &'static str)> {
    match line {
        _ if line.contains('\t') => Some(("a tab", "use spaces, or `\\t` inside a text")),
        _ if line.ends_with(' ') => Some(("spaces at the end of the line", "take them away")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn plain_lines_are_fine() {
        assert_eq!(short(&check(&library("xtask", "//! Head.\n\n    a(\"\\t\");\n"))), [""; 0]);
    }

    #[test]
    fn tabs_and_trailing_spaces_are_violations() {
        assert_eq!(
            short(&check(&library("xtask", "a(); \n\tb();\n// c  \n"))),
            ["1: spaces at the end of the line", "2: a tab", "3: spaces at the end of the line"]
        );
    }
}
