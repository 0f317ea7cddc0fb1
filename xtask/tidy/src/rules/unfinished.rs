//! Nothing is left for later: no placeholders, no ignored tests, no `unwrap` that a kernel could meet.

use crate::scan::Line;
use crate::source::{Source, squeeze};
use crate::violation::Violation;
use crate::workspace::{Package, Workspace};

/// What may stand nowhere, with the remedy.
const NOWHERE: [(&str, &str); 4] = [
    ("todo!", "write it"),
    ("unimplemented!", "write it, or return an error"),
    ("dbg!", "take it out"),
    ("#[ignore", "make the test run, or delete it"),
];

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().flat_map(of_package).collect()
}

fn of_package(package: &Package) -> Vec<Violation> {
    let kernel_side = package.is_kernel_side();
    package.sources.iter().flat_map(|source| of_source(source, kernel_side)).collect()
}

fn of_source(source: &Source, kernel_side: bool) -> Vec<Violation> {
    let wrong = source.numbered().flat_map(|(number, line)| {
        let found = placeholder(line).or_else(|| unwrap(line).filter(|_| kernel_side));
        found.map(|(what, remedy)| Violation::new(&source.path, number, format!("`{what}`"), remedy))
    });
    wrong.collect()
}

fn placeholder(line: &Line) -> Option<(&'static str, &'static str)> {
    let code = squeeze(&line.code);
    NOWHERE.into_iter().find(|(what, _)| {
        code.match_indices(what).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

fn unwrap(line: &Line) -> Option<(&'static str, &'static str)> {
    let found = !line.test && squeeze(&line.code).contains(".unwrap()");
    found.then_some((".unwrap()", "return a typed error, or let the types show that it cannot fail"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn finished_code_is_fine() {
        let text = "//! Not todo!().\nfn a() { b(\"dbg!()\").unwrap_or(0); my_todo!(); }\n\
                    #[cfg(test)]\nmod tests { fn c() { d().unwrap(); } }\n";
        assert_eq!(short(&check(&library("sparsemem-core", text))), [""; 0]);
        assert_eq!(short(&check(&library("xtask", "a.unwrap();"))), [""; 0]);
    }

    #[test]
    fn what_is_left_for_later_is_a_violation() {
        let text = "fn a() { todo!() }\nfn b() { unimplemented!(\"x\") }\nlet c = d.unwrap();\n\
                    #[cfg(test)]\nmod tests {\n    #[ignore = \"slow\"]\n    fn e() { dbg!(1); }\n}\n";
        assert_eq!(
            short(&check(&library("sparsemem-core", text))),
            ["1: `todo!`", "2: `unimplemented!`", "3: `.unwrap()`", "6: `#[ignore`", "7: `dbg!`"]
        );
    }
}
