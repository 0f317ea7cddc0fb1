//! Files are short enough to read, and of the product's files few are so short that a reader has to join them.

use super::Violation;
use crate::floors::LONG_FILES;
use crate::workspace::{TextFile, Workspace};

/// Lines that a file may have.
const LONG: usize = 400;
/// A file with fewer lines is short.
const SHORT: usize = 70;
/// The number of files, of 1000 of the product, that may be short.
const SHORT_SHARE: usize = 80;

/// The share of short files, beside the number of all.
pub(super) fn seen(workspace: &Workspace) -> String {
    let (short, all) = short_files(workspace);
    let share = share(short, all);
    format!("{} files, {}.{} % short", workspace.sources().count(), share / 10, share % 10)
}

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.sources().filter_map(of_length).chain(of_share(workspace)).collect()
}

fn of_length(file: &TextFile) -> Option<Violation> {
    let is_listed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    let is_long = file.length() > LONG;
    let remedy =
        "split it by concept; the list in tidy/src/floors.rs has all that may be long, and no others";
    let what = format!("{} lines", file.length());
    (is_long != is_listed).then(|| Violation::new(&file.path, 1, what, remedy))
}

fn of_share(workspace: &Workspace) -> Option<Violation> {
    let (short, all) = short_files(workspace);
    let what = format!("{short} of the product's {all} files have fewer than {SHORT} lines");
    let remedy = "put what is about one thing into one file";
    (share(short, all) > SHORT_SHARE).then(|| Violation::new("crates", 1, what, remedy))
}

/// The number of the product's files that are short, and the number of all.
fn short_files(workspace: &Workspace) -> (usize, usize) {
    let short = workspace.product().filter(|file| file.length() < SHORT).count();
    (short, workspace.product().count())
}

/// `part` of 1000 parts of `all`, rounded up: a share just above the limit is above it.
fn share(part: usize, all: usize) -> usize {
    (part * 1000).div_ceil(all.max(1))
}

#[cfg(test)]
mod tests {
    use super::{LONG, SHORT, check, seen};
    use crate::workspace::fixture::{files, short, source};

    #[test]
    fn files_up_to_the_limit_are_fine() {
        assert_eq!(short(&check(&source("sparsemem-core", &"a();\n".repeat(LONG)))), [""; 0]);
        assert_eq!(short(&check(&files(&[("xtask/src/small.rs", "a();\n")]))), [""; 0]);
    }

    #[test]
    fn long_files_are_violations_wherever_they_are() {
        for path in ["crates/core/src/a.rs", "crates/core/tests/a.rs", "conformance/kernel/src/a.rs"] {
            let found = files(&[(path, &"a();\n".repeat(LONG + 1))]);
            assert_eq!(short(&check(&found)), ["1: 401 lines"], "{path}");
        }
    }

    #[test]
    fn many_short_files_of_the_product_are_a_violation() {
        let found = source("sparsemem-core", &"a();\n".repeat(SHORT - 1));
        assert_eq!(short(&check(&found)), ["1: 1 of the product's 1 files have fewer than 70 lines"]);
        assert_eq!(seen(&found), "1 files, 100.0 % short");
    }
}
