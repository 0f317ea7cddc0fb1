//! A crate depends only on crates of strictly lower floors, and never on what the design rules out.

use crate::floors::{CORE_EXTERNALS, HOST_ONLY_EXTERNALS, Home, NEVER, home};
use crate::violation::Violation;
use crate::workspace::{Dependency, Package, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().flat_map(|package| of_package(package, workspace)).collect()
}

fn of_package(package: &Package, workspace: &Workspace) -> Vec<Violation> {
    let Some(own) = package.home() else {
        let what = format!("`{}` has no floor", package.name);
        return vec![Violation::new(
            &package.manifest.path,
            1,
            what,
            "add it to the table in tidy/floors.rs",
        )];
    };
    let is_own = |name: &str| workspace.packages.iter().any(|other| other.name == name);
    let wrong = |dependency: &Dependency| {
        let found = if is_own(&dependency.name) { inside(own, dependency) } else { outside(own, dependency) };
        found.map(|(what, remedy)| {
            let line = package.manifest.line_of(&dependency.name);
            Violation::new(&package.manifest.path, line, what, remedy)
        })
    };
    package.normal_dependencies().filter_map(wrong).collect()
}

/// What is wrong with a dependency on a crate of this workspace.
fn inside(own: &Home, dependency: &Dependency) -> Option<(String, &'static str)> {
    let (from, to) = (own.name, &dependency.name);
    if let Some((.., why)) = NEVER.iter().find(|(who, whom, _)| *who == from && whom.contains(&to.as_str())) {
        return Some((
            format!("`{from}` never depends on `{to}`: it {why}"),
            "go through a trait of a lower floor",
        ));
    }
    let other = home(to)?;
    (other.floor >= own.floor).then(|| {
        let (here, there) = (own.floor_name(), other.floor_name());
        let what = format!("`{from}` ({here}) depends on `{to}` ({there})");
        (what, "move what both need to a lower floor")
    })
}

/// What is wrong with a dependency on a crate from elsewhere.
fn outside(own: &Home, dependency: &Dependency) -> Option<(String, &'static str)> {
    let (from, to) = (own.name, dependency.name.as_str());
    if from == "sparsemem-core" && !CORE_EXTERNALS.contains(&to) {
        let allowed = CORE_EXTERNALS.join(", ");
        let what = format!("the core depends on `{to}`, which is none of {allowed}");
        return Some((what, "move what needs it to a higher floor"));
    }
    let heavy = own.is_kernel_side() && HOST_ONLY_EXTERNALS.contains(&to);
    heavy.then(|| {
        (format!("`{from}` is linked by kernels and depends on `{to}`"), "move the use to a host crate")
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{short, workspace};

    #[test]
    fn dependencies_that_lead_down_are_fine() {
        let found = workspace()
            .package("sparsemem-core", &[])
            .depends("bitflags", true, &[])
            .depends("proptest", false, &[])
            .package("sparsemem-section", &[])
            .depends("sparsemem-core", true, &[])
            .package("sparsemem-any", &[])
            .depends("sparsemem-section", true, &[])
            .depends("enum_dispatch", true, &[])
            .package("xtask", &[])
            .depends("sparsemem-any", true, &[])
            .build();
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let found =
            workspace().package("sparsemem-core", &[]).depends("sparsemem-machine", false, &[]).build();
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn same_floor_and_upwards_are_violations() {
        let found = workspace()
            .package("sparsemem-x86_64-page-table", &[])
            .package("sparsemem-machine", &[])
            .package("sparsemem-section", &[])
            .depends("sparsemem-x86_64-page-table", true, &[])
            .depends("sparsemem-machine", true, &[])
            .build();
        assert_eq!(
            short(&check(&found)),
            [
                "1: `sparsemem-section` (floor 2) depends on `sparsemem-x86_64-page-table` (floor 2)",
                "1: `sparsemem-section` (floor 2) depends on `sparsemem-machine` (host floor 6)"
            ]
        );
    }

    #[test]
    fn what_the_design_rules_out_is_a_violation_on_any_floor() {
        let found = workspace()
            .package("sparsemem-vmemmap", &[])
            .package("sparsemem-hotplug", &[])
            .depends("sparsemem-vmemmap", true, &[])
            .package("sparsemem-core", &[])
            .depends("x86_64", true, &[])
            .package("sparsemem-section", &[])
            .depends("criterion", true, &[])
            .build();
        let said = short(&check(&found));
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("`sparsemem-hotplug` never depends on `sparsemem-vmemmap`"));
        assert!(
            said[1].contains("the core depends on `x86_64`, which is none of bitflags, cfg-if, thiserror")
        );
        assert!(said[2].contains("`sparsemem-section` is linked by kernels and depends on `criterion`"));
    }

    #[test]
    fn a_crate_without_a_floor_is_a_violation() {
        let found = workspace().package("sparsemem-new", &[]).build();
        assert_eq!(short(&check(&found)), ["1: `sparsemem-new` has no floor"]);
    }
}
