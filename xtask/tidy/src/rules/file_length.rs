//! Files stay short enough to read: tests are not counted, and exceptions are listed with a reason.

use crate::floors::LONG_FILES;
use crate::source::Source;
use crate::violation::Violation;
use crate::workspace::Workspace;

/// Longer than this is said.
const LONG: usize = 400;
/// Longer than this fails.
const TOO_LONG: usize = 700;

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.sources().filter_map(of_source).collect()
}

fn of_source(source: &Source) -> Option<Violation> {
    let length = source.shipped().count();
    let listed = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    let what = format!("{length} lines without tests");
    let path = &source.path;
    if listed {
        let remedy = "take it off the list in tidy/floors.rs";
        return (length <= LONG)
            .then(|| Violation::new(path, 1, format!("listed as long, has {what}"), remedy));
    }
    if length > TOO_LONG {
        let remedy = "split it, or list it with a reason in tidy/floors.rs";
        return Some(Violation::new(path, 1, what, remedy));
    }
    (length > LONG).then(|| Violation::warning(path, 1, what, "split it by concept while it is easy"))
}

#[cfg(test)]
mod tests {
    use super::{LONG, TOO_LONG, check};
    use crate::fixture::library;
    use crate::violation::Weight;

    fn weight(text: &str) -> Option<Weight> {
        check(&library("xtask", text)).first().map(|violation| violation.weight)
    }

    #[test]
    fn short_files_and_long_tests_are_fine() {
        assert_eq!(weight(&"a();\n".repeat(LONG)), None);
        let tests = format!("a();\n#[cfg(test)]\nmod tests {{\n{}}}\n", "b();\n".repeat(TOO_LONG));
        assert_eq!(weight(&tests), None);
    }

    #[test]
    fn long_files_are_said_and_very_long_ones_fail() {
        assert_eq!(weight(&"a();\n".repeat(LONG + 1)), Some(Weight::Warning));
        assert_eq!(weight(&"a();\n".repeat(TOO_LONG + 1)), Some(Weight::Error));
    }
}
