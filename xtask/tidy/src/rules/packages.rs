//! A published package stands alone: README and licence texts are in its folder, and its documentation links to the facts
//! that it cites by number.
//!
//! Cargo asks for neither: it packs the files that are there.

use super::Violation;
use super::facts::citations;
use crate::workspace::{Package, Workspace};

/// The files that a package has beside its manifest; the licences are links to the workspace's.
const FILES: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// The end of the address of the list of facts.
const FACTS: &str = "/conformance/linux/FACTS.md";

pub(super) fn seen(workspace: &Workspace) -> String {
    format!("{} published", published(workspace).count())
}

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    let of_package = |package| {
        let missing = missing_files(package, workspace);
        missing.into_iter().chain(facts_without_link(package, workspace))
    };
    published(workspace).flat_map(of_package).collect()
}

fn published(workspace: &Workspace) -> impl Iterator<Item = &Package> {
    workspace.packages.iter().filter(|package| package.is_published)
}

fn missing_files(package: &Package, workspace: &Workspace) -> Vec<Violation> {
    let is_there = |path: &str| workspace.files.iter().any(|file| file.path == path);
    let missing = FILES.iter().filter(|name| !is_there(&format!("{}/{name}", package.folder)));
    let violation = |name: &&str| {
        let what = format!("`{}` is published without {name}", package.name);
        Violation::new(&package.manifest(), 1, what, "add it, or state `publish = false`")
    };
    missing.map(violation).collect()
}

/// The first fact that the documentation cites, if it links to no list of facts.
fn facts_without_link(package: &Package, workspace: &Workspace) -> Option<Violation> {
    let folder = format!("{}/src/", package.folder);
    let own = || workspace.sources().filter(|file| file.path.starts_with(&folder));
    if own().any(|file| file.text.contains(FACTS)) {
        return None;
    }
    own().find_map(|file| {
        let lines: Vec<&str> = file.text.lines().collect();
        let is_documentation = |at: usize| {
            lines.get(at - 1).is_some_and(|line| ["///", "//!"].iter().any(|it| line.trim().starts_with(it)))
        };
        let (at, number) = citations(&file.text).find(|(at, _)| is_documentation(*at))?;
        let what = format!("the documentation cites `{number}`, and nothing says where that is");
        Some(Violation::new(&file.path, at, what, "link to the list of facts at the top of the crate"))
    })
}

#[cfg(test)]
mod tests {
    use super::{FACTS, check};
    use crate::workspace::Workspace;
    use crate::workspace::fixture::{files, packages, short};

    /// A published package with these files.
    fn package(list: &[(&str, &str)]) -> Workspace {
        let mut workspace = Workspace { files: files(list).files, ..packages(&[("sparsemem-core", &[])]) };
        workspace.packages[0].is_published = true;
        workspace
    }

    const WHOLE: [(&str, &str); 3] =
        [("crates/core/README.md", ""), ("crates/core/LICENSE-MIT", ""), ("crates/core/LICENSE-APACHE", "")];

    #[test]
    fn each_missing_file_is_named_unless_nobody_gets_the_package() {
        assert_eq!(short(&check(&package(&WHOLE))), [""; 0]);
        let mut without = package(&WHOLE[..2]);
        assert_eq!(short(&check(&without)), ["1: `sparsemem-core` is published without LICENSE-APACHE"]);
        without.packages[0].is_published = false;
        assert_eq!(short(&check(&without)), [""; 0]);
    }

    #[test]
    fn a_cited_fact_needs_the_link() {
        // Put together here, so that this file cites nothing.
        let number = format!("H{}01", '-');
        let with = |text: &str| {
            let source = ("crates/core/src/lib.rs", text);
            short(&check(&package(&[WHOLE.as_slice(), &[source]].concat())))
        };
        assert_eq!(with(&format!("// As Linux ({number}).\n")), [""; 0]);
        assert_eq!(
            with(&format!("//! See [facts](https://host{FACTS}).\n/// As Linux ({number}).\n")),
            [""; 0]
        );
        assert_eq!(
            with(&format!("//! A crate.\n/// As Linux ({number}).\n")),
            [format!("2: the documentation cites `{number}`, and nothing says where that is")]
        );
    }
}
