//! What a kernel-side crate depends on is asked for without its `std` and `alloc` features.

use crate::violation::Violation;
use crate::workspace::{Package, Workspace};

/// The features that need a host.
const HOST_FEATURES: [&str; 2] = ["std", "alloc"];

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.kernel_side().flat_map(of_package).collect()
}

fn of_package(package: &Package) -> Vec<Violation> {
    let asked = package.normal_dependencies().flat_map(|dependency| {
        let wrong = HOST_FEATURES.into_iter().filter(|feature| dependency.enabled.contains(*feature));
        wrong.map(|feature| (dependency.name.as_str(), feature))
    });
    asked
        .map(|(name, feature)| {
            let line = package.manifest.line_of(name);
            let what = format!("`{name}` is asked for with its feature `{feature}`");
            let remedy = "set `default-features = false` in the workspace's manifest";
            Violation::new(&package.manifest.path, line, what, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{short, workspace};

    #[test]
    fn features_without_a_host_are_fine() {
        let found = workspace()
            .package("sparsemem-core", &[])
            .depends("thiserror", true, &["derive"])
            .depends("proptest", false, &["std"])
            .package("sparsemem-machine", &[])
            .depends("thiserror", true, &["std"])
            .build();
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn std_features_are_violations() {
        let found = workspace()
            .package("sparsemem-core", &[])
            .depends("thiserror", true, &["default", "std"])
            .manifest("[package]\n[dependencies]\nthiserror = \"2\"\n")
            .build();
        assert_eq!(short(&check(&found)), ["3: `thiserror` is asked for with its feature `std`"]);
    }
}
