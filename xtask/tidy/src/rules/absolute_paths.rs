//! No file points to a place on somebody's machine.

use crate::violation::Violation;
use crate::workspace::{TextFile, Workspace};

/// The beginnings of such places; put together here, so that this file passes its own rule.
const PLACES: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("../", "shared/")];

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.files.iter().flat_map(of_file).collect()
}

fn of_file(file: &TextFile) -> Vec<Violation> {
    let wrong = (1..).zip(file.text.lines()).filter_map(|(number, line)| Some((number, place(line)?)));
    wrong
        .map(|(number, place)| {
            let what = format!("`{place}` is a place outside the project");
            Violation::new(&file.path, number, what, "name the file from the project's root, or leave it out")
        })
        .collect()
}

/// The first such place in `line`; a longer path that only contains one is none.
fn place(line: &str) -> Option<&'static str> {
    let continues = |c: char| c.is_alphanumeric() || "_-.>}".contains(c);
    PLACES.into_iter().find(|place| line.match_indices(place).any(|(at, _)| !line[..at].ends_with(continues)))
}

#[cfg(test)]
mod tests {
    use super::{PLACES, check};
    use crate::fixture::{short, workspace};

    #[test]
    fn paths_inside_the_project_are_fine() {
        let text = format!("see src{}a.rs and target/x, https://example.org{}b\n", PLACES[0], PLACES[2]);
        let found = workspace().file("README.md", &text).build();
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn places_elsewhere_are_violations() {
        let text = format!("fine\nsee {}main\n`{}notes.md`\n", PLACES[0], PLACES[3]);
        let found = workspace().file("README.md", &text).build();
        let expected = [(2, PLACES[0]), (3, PLACES[3])];
        let expected =
            expected.map(|(line, place)| format!("{line}: `{place}` is a place outside the project"));
        assert_eq!(short(&check(&found)), expected);
    }
}
