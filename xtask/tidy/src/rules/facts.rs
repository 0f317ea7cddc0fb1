//! Facts of Linux are cited by number; every number is in `FACTS.md`, and nothing is there that nobody cites.

use std::collections::BTreeMap;

use crate::violation::Violation;
use crate::workspace::{TextFile, Workspace};

/// Where the facts are.
const FACTS: &str = "FACTS.md";

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    let list = workspace.files.iter().find(|file| file.path.ends_with(FACTS));
    let Some(list) = list else { return Vec::new() };
    let known: BTreeMap<&str, usize> =
        (1..).zip(list.text.lines()).filter_map(|(line, text)| Some((defined(text)?, line))).collect();
    let groups: Vec<char> = known.keys().filter_map(|number| number.chars().next()).collect();
    let cited: Vec<(&TextFile, usize, &str)> = workspace
        .files
        .iter()
        .filter(|file| {
            std::path::Path::new(&file.path).extension().is_some_and(|extension| extension == "rs")
        })
        .flat_map(|file| citations(&file.text).map(move |(line, number)| (file, line, number)))
        .filter(|(_, _, number)| number.starts_with(groups.as_slice()))
        .collect();
    let in_list: Vec<(usize, &str)> = citations(&list.text).collect();
    let unknown =
        cited.iter().filter(|(_, _, number)| !known.contains_key(number)).map(|(file, line, number)| {
            let remedy = "write the fact down there, in our words, or do not cite it";
            Violation::new(&file.path, *line, format!("`{number}` is no fact of {FACTS}"), remedy)
        });
    let is_cited = |number: &str, at: usize| {
        cited.iter().any(|(_, _, cited)| *cited == number)
            || in_list.iter().any(|(line, cited)| *cited == number && *line != at)
    };
    let idle = known.iter().filter(|(number, at)| !is_cited(number, **at)).map(|(number, at)| {
        let remedy = "cite it where it is kept or broken, or take it out";
        Violation::new(&list.path, *at, format!("nothing cites `{number}`"), remedy)
    });
    unknown.chain(idle).collect()
}

/// The number that a line of the list begins with.
fn defined(line: &str) -> Option<&str> {
    line.strip_prefix("- **")?.split_once("**").map(|(number, _)| number)
}

/// All that look like numbers of facts, with their lines: a capital letter, a dash, two or three digits.
fn citations(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = |line| str::split(line, |c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
    (1..).zip(text.lines()).flat_map(move |(line, text)| words(text).map(move |word| (line, word))).filter(
        |(_, word)| {
            let (letter, digits) = word.split_once('-').unwrap_or_default();
            letter.len() == 1
                && letter.starts_with(|c: char| c.is_ascii_uppercase())
                && (2..=3).contains(&digits.len())
                && digits.bytes().all(|digit| digit.is_ascii_digit())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::{short, workspace};

    /// Put together here, so that this file cites nothing.
    fn number(digits: &str) -> String {
        format!("H{}{digits}", '-')
    }

    #[test]
    fn what_is_cited_is_known_and_the_other_way_round() {
        let (one, two) = (number("01"), number("02"));
        let facts = format!("# Facts\n\n- **{one}** something, see {two}\n- **{two}** more\n");
        let source = format!("// As Linux ({one}); not UTF-16, Q-77.\n");
        let found = workspace().file("FACTS.md", &facts).file("a.rs", &source).build();
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn others_are_violations() {
        let (one, two) = (number("01"), number("02"));
        let facts = format!("- **{one}** something\n");
        let found = workspace().file("FACTS.md", &facts).file("a.rs", &format!("// ({two})\n")).build();
        assert_eq!(
            short(&check(&found)),
            [format!("1: `{two}` is no fact of FACTS.md"), format!("1: nothing cites `{one}`")]
        );
    }
}
