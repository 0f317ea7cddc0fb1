//! A crate depends only on crates of strictly lower floors, and never on what the design rules out.

use super::Violation;
use crate::floors::{CORE_EXTERNALS, HOST_ONLY_EXTERNALS, NEVER, floor, floor_name, is_product};
use crate::workspace::{Package, Workspace};

pub(super) fn seen(workspace: &Workspace) -> String {
    let all = workspace.packages.iter().map(|package| package.dependencies.len());
    format!("{} dependencies", all.sum::<usize>())
}

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().flat_map(|package| of_package(package, workspace)).collect()
}

fn of_package(package: &Package, workspace: &Workspace) -> Vec<Violation> {
    let manifest = package.manifest();
    let Some(floor) = floor(&package.name) else {
        let what = format!("`{}` has no floor", package.name);
        return vec![Violation::new(&manifest, 1, what, "add it to the table in tidy/src/floors.rs")];
    };
    let is_own = |name: &str| workspace.packages.iter().any(|other| other.name == name);
    let from = &package.name;
    let wrong = package.dependencies.iter().filter_map(|to| {
        let (what, remedy) = if is_own(to) { inside(from, floor, to) } else { outside(from, to) }?;
        Some(Violation::new(&manifest, workspace.line_of(&manifest, to), what, remedy))
    });
    wrong.collect()
}

/// The fault of a dependency on a crate of this workspace, and the remedy; `None` if it may stay.
fn inside(from: &str, here: u8, to: &str) -> Option<(String, &'static str)> {
    if let Some((.., why)) = NEVER.iter().find(|(who, whom, _)| *who == from && whom.contains(&to)) {
        let what = format!("`{from}` never depends on `{to}`: it {why}");
        return Some((what, "go through a trait of a lower floor"));
    }
    let there = floor(to)?;
    (there >= here).then(|| {
        let (here, there) = (floor_name(here), floor_name(there));
        let what = format!("`{from}` ({here}) depends on `{to}` ({there})");
        (what, "move what both need to a lower floor")
    })
}

/// The fault of a dependency on a crate from elsewhere, and the remedy; `None` if it may stay.
fn outside(from: &str, to: &str) -> Option<(String, &'static str)> {
    if from == "sparsemem-core" && !CORE_EXTERNALS.contains(&to) {
        let allowed = CORE_EXTERNALS.join(", ");
        let what = format!("the core depends on `{to}`, which is none of {allowed}");
        return Some((what, "move what needs it to a higher floor"));
    }
    let heavy = is_product(from) && HOST_ONLY_EXTERNALS.contains(&to);
    heavy.then(|| {
        (format!("`{from}` is linked by kernels and depends on `{to}`"), "move the use to a host crate")
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::fixture::{packages, short};

    fn said(list: &[(&str, &[&str])]) -> Vec<String> {
        short(&check(&packages(list)))
    }

    #[test]
    fn dependencies_that_lead_down_are_fine() {
        let list: [(&str, &[&str]); 4] = [
            ("sparsemem-core", &["bitflags"]),
            ("sparsemem-section", &["sparsemem-core"]),
            ("sparsemem-any", &["sparsemem-section", "enum_dispatch"]),
            ("xtask", &["sparsemem-any"]),
        ];
        assert_eq!(said(&list), [""; 0]);
    }

    #[test]
    fn same_floor_and_upwards_are_violations() {
        let list: [(&str, &[&str]); 3] = [
            ("sparsemem-x86_64-page-table", &[]),
            ("sparsemem-machine", &[]),
            ("sparsemem-section", &["sparsemem-x86_64-page-table", "sparsemem-machine"]),
        ];
        assert_eq!(
            said(&list),
            [
                "1: `sparsemem-section` (floor 2) depends on `sparsemem-x86_64-page-table` (floor 2)",
                "1: `sparsemem-section` (floor 2) depends on `sparsemem-machine` (host floor 6)"
            ]
        );
    }

    #[test]
    fn what_the_design_rules_out_is_a_violation_on_any_floor() {
        let said = said(&[
            ("sparsemem-vmemmap", &[]),
            ("sparsemem-hotplug", &["sparsemem-vmemmap"]),
            ("sparsemem-core", &["x86_64"]),
            ("sparsemem-section", &["serde"]),
        ]);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("`sparsemem-hotplug` never depends on `sparsemem-vmemmap`"));
        assert!(said[1].contains("the core depends on `x86_64`, which is none of bitflags, cfg-if"));
        assert!(said[2].contains("`sparsemem-section` is linked by kernels and depends on `serde`"));
    }

    #[test]
    fn a_crate_without_a_floor_is_a_violation() {
        assert_eq!(said(&[("sparsemem-new", &[])]), ["1: `sparsemem-new` has no floor"]);
    }
}
