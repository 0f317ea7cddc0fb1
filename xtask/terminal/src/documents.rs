//! The commands that the documents of this workspace contain, so that each program can test its own.

use std::path::Path;

use clap::Parser;

/// The documents that contain commands.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/which-model.md",
    "crates/cli/README.md",
    "conformance/README.md",
    "conformance/kernel/README.md",
    "conformance/ostd/README.md",
    "conformance/linux/README.md",
    "conformance/machines/README.md",
];

/// Checks the command line of a program, and every command of the program that a document contains. For tests in the
/// workspace: the documents are read when this is called.
///
/// # Panics
///
/// If the command line contradicts itself, the program does not understand a command, or a document is not there.
pub fn check_commands<C: Parser>() {
    C::command().debug_assert();
    let is_own =
        |words: &Vec<String>| words.first().is_some_and(|name| C::command().find_subcommand(name).is_some());
    for words in commands_in_documents().filter(is_own) {
        let line = ["program"].into_iter().chain(words.iter().map(String::as_str));
        assert!(C::try_parse_from(line).is_ok(), "a document contains the invalid command {words:?}");
    }
}

/// The words after `cargo xtask` or `sparsemem`, for each place where a document contains that.
fn commands_in_documents() -> impl Iterator<Item = Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    DOCUMENTS.iter().flat_map(move |name| {
        let path = root.join(name);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        commands(&text)
    })
}

fn commands(text: &str) -> Vec<Vec<String>> {
    let rests = ["cargo xtask ", "\nsparsemem "].iter().flat_map(|name| text.split(name).skip(1));
    let lines = rests.filter_map(|rest| rest.split(['\n', '`', '#', '|', '>', '[']).next());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}
