//! Facts of Linux are cited by number; every number is in `FACTS.md`, and nothing is there that nobody cites.

use std::collections::BTreeMap;

use super::Violation;
use crate::workspace::{TextFile, Workspace};

/// The file that has the facts.
const FACTS: &str = "FACTS.md";

pub(super) fn seen(workspace: &Workspace) -> String {
    format!("{} texts", workspace.files.len())
}

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    let list = workspace.files.iter().find(|file| file.path.ends_with(FACTS));
    let Some(list) = list else { return Vec::new() };
    let known: BTreeMap<&str, usize> =
        (1..).zip(list.text.lines()).filter_map(|(line, text)| Some((defined(text)?, line))).collect();
    let groups: Vec<char> = known.keys().filter_map(|number| number.chars().next()).collect();
    let cited: Vec<(&TextFile, usize, &str)> = workspace
        .sources()
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

/// The number that a line of the list, or a row of one of its tables, begins with.
fn defined(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("- **").or_else(|| line.strip_prefix("| **"))?;
    rest.split_once("**").map(|(number, _)| number)
}

/// All that look like numbers of facts, with their lines: a capital letter, a dash, two or three digits.
pub(super) fn citations(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = |line| str::split(line, |c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
    let is_number = |word: &str| match word.as_bytes() {
        [b'A'..=b'Z', b'-', digits @ ..] => {
            matches!(digits.len(), 2 | 3) && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    let lines = (1..).zip(text.lines());
    lines.flat_map(move |(at, line)| {
        words(line).filter(move |word| is_number(word)).map(move |word| (at, word))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::fixture::{files, short};

    /// Put together here, so that this file cites nothing.
    fn number(digits: &str) -> String {
        format!("H{}{digits}", '-')
    }

    #[test]
    fn what_is_cited_is_known_and_the_other_way_round() {
        let (one, two) = (number("01"), number("02"));
        let facts = format!("# Facts\n\n- **{one}** something, see {two}\n| **{two}** | more |\n");
        let source = format!("// As Linux ({one}); not UTF-16, Q-77.\n");
        let found = files(&[("FACTS.md", &facts), ("a.rs", &source)]);
        assert_eq!(short(&check(&found)), [""; 0]);
    }

    #[test]
    fn others_are_violations() {
        let (one, two) = (number("01"), number("02"));
        let facts = format!("- **{one}** something\n");
        let found = files(&[("FACTS.md", &facts), ("a.rs", &format!("// ({two})\n"))]);
        assert_eq!(
            short(&check(&found)),
            [format!("1: `{two}` is no fact of FACTS.md"), format!("1: nothing cites `{one}`")]
        );
    }
}
