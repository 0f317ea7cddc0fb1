//! A crate forbids `unsafe` unless the floor table has a reason why it may not.

use crate::violation::Violation;
use crate::workspace::{Package, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().filter_map(of_package).collect()
}

fn of_package(package: &Package) -> Option<Violation> {
    let excused = package.home().is_none_or(|home| home.may_be_unsafe.is_some());
    let root = package.root_source()?;
    (!excused && !root.has_code("#![forbid(unsafe_code)]")).then(|| {
        let what = format!("`{}` does not `#![forbid(unsafe_code)]`", package.name);
        Violation::new(&root.path, 1, what, "add the attribute, or a reason in tidy/floors.rs")
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn forbidden_or_excused_is_fine() {
        let forbidden = library("sparsemem-hotplug", "//! Head.\n#![forbid(unsafe_code)]\n");
        assert_eq!(short(&check(&forbidden)), [""; 0]);
        assert_eq!(short(&check(&library("sparsemem-core", "//! Head.\n"))), [""; 0]);
    }

    #[test]
    fn a_crate_without_reason_has_to_forbid() {
        let open = library("sparsemem-hotplug", "//! Head.\n// #![forbid(unsafe_code)]\n");
        assert_eq!(short(&check(&open)), ["1: `sparsemem-hotplug` does not `#![forbid(unsafe_code)]`"]);
    }
}
