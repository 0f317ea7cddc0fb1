//! Every package takes the workspace's lints and has its licence.

use crate::source::squeeze;
use crate::violation::Violation;
use crate::workspace::{Package, Workspace};

const LICENSE: &str = "MIT OR Apache-2.0";

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().flat_map(of_package).collect()
}

fn of_package(package: &Package) -> Vec<Violation> {
    let path = &package.manifest.path;
    let mut found = Vec::new();
    if !has_workspace_lints(&package.manifest.text) {
        let what = format!("`{}` has lints of its own", package.name);
        let line = package.manifest.line_of("[lints");
        found.push(Violation::new(path, line, what, "write `[lints]` and `workspace = true`, nothing else"));
    }
    if package.license.as_deref() != Some(LICENSE) {
        let has = package.license.as_deref().unwrap_or("nothing");
        let what = format!("`{}` is licensed under {has} instead of {LICENSE}", package.name);
        let line = package.manifest.line_of("license");
        found.push(Violation::new(path, line, what, "write `license.workspace = true`"));
    }
    found
}

/// Whether the lint table takes the workspace's.
fn has_workspace_lints(manifest: &str) -> bool {
    let table = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    let mut table = table.take_while(|line| !line.trim_start().starts_with('['));
    table.any(|line| squeeze(line) == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{short, workspace};

    #[test]
    fn the_workspace_lints_and_licence_are_fine() {
        let found = workspace().package("xtask", &[]).build();
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn missing_ones_are_violations() {
        let own = "[package]\nworkspace = true\n\n[lints.rust]\nx = \"allow\"\n";
        let mut found = workspace().package("xtask", &[]).manifest(own).build();
        found.packages[0].license = None;
        assert_eq!(
            short(&check(&found)),
            [
                "4: `xtask` has lints of its own",
                "1: `xtask` is licensed under nothing instead of MIT OR Apache-2.0"
            ]
        );
    }
}
