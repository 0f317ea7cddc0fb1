//! The commands in the code fences of the documents exist, with the options that they are shown with.

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::cli::Cli;
use crate::tidy::violation::Violation;
use crate::tidy::workspace::{TextFile, Workspace};

/// What comes with cargo or is installed by everybody who needs it.
const CARGO: [&str; 15] = [
    "add", "bench", "build", "check", "clippy", "doc", "fetch", "fmt", "install", "metadata", "mutants",
    "new", "run", "test", "tree",
];

pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    let documents = workspace.files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(of_document).collect()
}

fn of_document(file: &TextFile) -> Vec<Violation> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if let Some(what) = command(line).filter(|_| fenced).and_then(|words| fault(&words)) {
            found.push(Violation::new(&file.path, number, what, "show a command that works"));
        }
    }
    found
}

/// The words behind `cargo` if the line is such a command.
fn command(line: &str) -> Option<Vec<&str>> {
    let line = line.trim().trim_start_matches("$ ");
    let rest = line.strip_prefix("cargo ")?;
    let end = rest.find(['#', '|', '>', '&', ';']).unwrap_or(rest.len());
    Some(rest[..end].split_whitespace().collect())
}

fn fault(words: &[&str]) -> Option<String> {
    match words.split_first()? {
        (&"xtask", rest) => xtask_fault(rest),
        (name, _) if name.starts_with(['+', '-']) || CARGO.contains(name) => None,
        (name, _) => Some(format!("`cargo {name}` is not a command of cargo")),
    }
}

/// What clap says of `cargo xtask` with these words; a line with `[--option]` is taken up to its first bracket.
fn xtask_fault(words: &[&str]) -> Option<String> {
    let plain = words.iter().take_while(|word| !word.starts_with('['));
    let line = std::iter::once("xtask").chain(plain.copied());
    let error = Cli::command().try_get_matches_from(line).err()?;
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!asked_for).then(|| {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        format!("`cargo xtask {}`: {first}", words.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::fixture::{short, workspace};

    fn violations(text: &str) -> Vec<String> {
        short(&check(&workspace().file("README.md", text).build()))
    }

    #[test]
    fn commands_that_exist_are_fine() {
        let text = "cargo nonsense\n```\n$ cargo test --workspace\ncargo xtask tidy # checks\n\
                    cargo xtask tidy [--more]\ncargo xtask --help\n```\n";
        assert_eq!(violations(text), [""; 0]);
    }

    #[test]
    fn commands_that_do_not_exist_are_violations() {
        let said = violations("```sh\ncargo bild\ncargo xtask tidi\ncargo xtask tidy --fast\n```\n");
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(said[0], "2: `cargo bild` is not a command of cargo");
        assert!(said[1].starts_with("3: `cargo xtask tidi`: unrecognized subcommand"));
        assert!(said[2].starts_with("4: `cargo xtask tidy --fast`: unexpected argument"));
    }
}
