//! Kernel-side crates are `#![no_std]` and use neither `std` nor `alloc` outside their tests.

use crate::floors::Home;
use crate::source::{Source, squeeze};
use crate::violation::Violation;
use crate::workspace::{Package, Workspace};

/// The names that exist on a host only.
const HOST_NAMES: [&str; 2] = ["std", "alloc"];

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace
        .packages
        .iter()
        .filter_map(|package| Some(of_package(package, package.home()?)))
        .flatten()
        .collect()
}

fn of_package(package: &Package, home: &Home) -> Vec<Violation> {
    let denied: Vec<_> = HOST_NAMES.into_iter().filter(|name| !home.host_names().contains(name)).collect();
    if denied.is_empty() {
        return Vec::new();
    }
    let missing = package.root_source().filter(|root| !root.has_code("#![no_std]")).map(|root| {
        let what = format!("`{}` runs in kernels and is not `#![no_std]`", package.name);
        Violation::new(&root.path, 1, what, "add the attribute below the module head")
    });
    let used = package.sources.iter().flat_map(|source| of_source(source, &denied));
    missing.into_iter().chain(used).collect()
}

fn of_source(source: &Source, denied: &[&str]) -> Vec<Violation> {
    let named = |code: &str| denied.iter().find(|name| uses(code, name)).copied();
    let wrong = source.shipped().filter_map(|(line, text)| Some((line, named(&text.code)?)));
    wrong
        .map(|(line, name)| {
            let what = format!("`{name}` is used outside tests");
            Violation::new(&source.path, line, what, "use `core`, or take it through a provider trait")
        })
        .collect()
}

/// Whether `code` names the crate `name`: as the start of a path, or as an external crate.
fn uses(code: &str, name: &str) -> bool {
    if squeeze(code).contains(&format!("externcrate{name}")) {
        return true;
    }
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
        !before.ends_with(continues)
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{library, short};

    #[test]
    fn core_and_tests_are_fine() {
        let text = "//! Of std::vec.\n#![no_std]\n#[cfg(test)]\nextern crate std;\nuse core::fmt;\n\
                    /// Uses `alloc::x`.\nfn a() { my_std::b(); crate::alloc::c(\"std::d\"); }\n\
                    #[cfg(test)]\nmod tests { use std::vec; }\n";
        assert_eq!(short(&check(&library("sparsemem-section", text))), [""; 0]);
    }

    #[test]
    fn std_and_alloc_are_violations() {
        let text = "//! Head.\nextern crate alloc;\nuse std::fmt;\nfn a(x: &::alloc::b) {}\n";
        assert_eq!(
            short(&check(&library("sparsemem-section", text))),
            [
                "1: `sparsemem-section` runs in kernels and is not `#![no_std]`",
                "2: `alloc` is used outside tests",
                "3: `std` is used outside tests",
                "4: `alloc` is used outside tests"
            ]
        );
    }

    #[test]
    fn a_crate_that_needs_a_heap_has_alloc_only() {
        let text = "#![no_std]\nextern crate alloc;\nuse alloc::vec::Vec;\nuse std::fmt;\n";
        let said = short(&check(&library("sparsemem-suite", text)));
        assert_eq!(said, ["4: `std` is used outside tests"]);
    }

    #[test]
    fn host_crates_may() {
        assert_eq!(short(&check(&library("sparsemem-machine", "//! Head.\nuse std::fmt;\n"))), [""; 0]);
    }
}
