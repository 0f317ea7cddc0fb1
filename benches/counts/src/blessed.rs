//! The listings that were found good: text files in `benches/codegen`, one for Rust and one for C for each
//! processor.
//!
//! # Invariants
//!
//! 1. A file names its compiler. With another one the text is not compared, for every compiler chooses differently.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use sparsemem_disassembly::Listing;

use crate::build::Generated;
use sparsemem_report::Arch;
use sparsemem_terminal::Failure;

/// A listing file: its name, and its text as it should be now.
#[derive(Debug)]
pub(crate) struct Text {
    /// Name in the folder.
    name: String,
    /// The compiler.
    compiler: String,
    /// The whole file.
    text: String,
}

/// The result of a file's comparison with what was generated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// They are the same.
    Same {
        /// The file.
        file: String,
    },
    /// They were not compared: another compiler was at work.
    OtherCompiler {
        /// The file.
        file: String,
        /// The compiler of the file.
        blessed: String,
        /// The compiler now.
        now: String,
    },
    /// They differ.
    Different {
        /// The file.
        file: String,
        /// Lines that went, with `-`, and that came, with `+`.
        lines: Vec<String>,
    },
}

/// The head of a file.
pub(super) const HEAD: &str = "# Written by `cargo xtask codegen --bless`; compiled by: ";

/// The files as they should be now.
pub(super) fn texts(generated: &Generated) -> Vec<Text> {
    let (c, rust): (Vec<&Listing>, Vec<&Listing>) =
        generated.listings.values().partition(|listing| listing.symbol().starts_with("c_"));
    let name = |language: &str| match generated.arch {
        Arch::X86_64 => format!("{language}.txt"),
        other => format!("{language}-{other}.txt"),
    };
    vec![text(name("rust"), &generated.rustc, &rust), text(name("c"), &generated.cc, &c)]
}

/// A line without the hash that rustc writes into the name of a function that is called: it depends on where the sources lie.
fn without_hash(line: &str) -> String {
    let hashed = line.split_once("17h").and_then(|(before, rest)| {
        let is_hash = rest.get(..16)?.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hash.then_some(before).zip(rest.get(16..))
    });
    hashed.map_or_else(|| line.to_owned(), |(before, after)| format!("{before}{after}"))
}

fn text(name: String, compiler: &str, listings: &[&Listing]) -> Text {
    let mut text = format!("{HEAD}{compiler}\n");
    for listing in listings {
        let (instructions, loads) = (listing.instructions(), listing.loads());
        // A text has room for any line.
        let _ = writeln!(text, "\n# {instructions} instructions, {loads} loads");
        listing.to_string().lines().for_each(|line| _ = writeln!(text, "{}", without_hash(line)));
    }
    Text { name, compiler: compiler.to_owned(), text }
}

/// The folder with the files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../codegen")
}

/// Writes the files.
pub(super) fn write(texts: &[Text]) -> Result<(), Failure> {
    texts.iter().try_for_each(|text| write_file(&text.name, &text.text))
}

/// Writes a file of the folder.
pub(super) fn write_file(name: &str, text: &str) -> Result<(), Failure> {
    let path = folder().join(name);
    std::fs::write(&path, text).map_err(|error| Failure::Broken(format!("{}: {error}", path.display())))?;
    eprintln!("blessed benches/codegen/{name}");
    Ok(())
}

/// Compares the files with what was generated.
pub(super) fn compare(texts: &[Text]) -> Result<Vec<Comparison>, Failure> {
    texts.iter().map(|text| Ok(text.against(&read(&text.name)?))).collect()
}

/// Reads a file of the folder.
pub(super) fn read(name: &str) -> Result<String, Failure> {
    let missing = |error| {
        Failure::Broken(format!("benches/codegen/{name}: {error}; `cargo xtask codegen --bless` writes it"))
    };
    std::fs::read_to_string(folder().join(name)).map_err(missing)
}

impl Text {
    /// Compares with the blessed text.
    fn against(&self, blessed: &str) -> Comparison {
        let file = self.name.clone();
        let compiler = blessed.lines().next().and_then(|line| line.strip_prefix(HEAD)).unwrap_or("nobody");
        if compiler != self.compiler {
            let (blessed, now) = (compiler.to_owned(), self.compiler.clone());
            return Comparison::OtherCompiler { file, blessed, now };
        }
        let lines = differences(&functions(blessed), &functions(&self.text));
        if lines.is_empty() { Comparison::Same { file } } else { Comparison::Different { file, lines } }
    }
}

/// The listings of a file by the name of the function.
fn functions(text: &str) -> BTreeMap<&str, &str> {
    let listings = text.split("\n\n").skip(1);
    listings.map(|listing| (listing.lines().nth(1).unwrap_or_default(), listing.trim_end())).collect()
}

/// Both listings of every function that is not the same.
fn differences(blessed: &BTreeMap<&str, &str>, now: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut names: Vec<_> = blessed.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let changed = names.into_iter().filter(|name| blessed.get(*name) != now.get(*name));
    changed.flat_map(|name| marked('-', blessed.get(name)).chain(marked('+', now.get(name)))).collect()
}

fn marked<'t>(mark: char, listing: Option<&&'t str>) -> impl Iterator<Item = String> + use<'t> {
    listing.map(|listing| listing.lines()).into_iter().flatten().map(move |line| format!("{mark} {line}"))
}

#[cfg(test)]
mod tests {
    use super::{Comparison, HEAD, Text, without_hash};

    fn file(compiler: &str, body: &str) -> String {
        format!(
            "{HEAD}{compiler}\n\n# 1 instructions, 0 loads\nf:\n    {body}\n\n# 1 instructions, 0 loads\ng:\n    ret\n"
        )
    }

    fn against(blessed: &str) -> Comparison {
        let text = Text {
            name: "rust.txt".to_owned(),
            compiler: "rustc 9".to_owned(),
            text: file("rustc 9", "ret"),
        };
        text.against(blessed)
    }

    #[test]
    fn names_of_called_functions_have_no_hash() {
        let called = "    call _ZN5holes3has17h4d8c007b414b807dE";
        assert_eq!(without_hash(called), "    call _ZN5holes3hasE");
        for other in ["    call c_holes_has17h", "    call _ZN5holes3has17h4d8c007b414b80_dE", "    ret"] {
            assert_eq!(without_hash(other), other);
        }
    }

    #[test]
    fn the_same_text_is_the_same() {
        assert_eq!(against(&file("rustc 9", "ret")), Comparison::Same { file: "rust.txt".to_owned() });
    }

    #[test]
    fn only_what_changed_is_shown() {
        let Comparison::Different { lines, .. } = against(&file("rustc 9", "ud2")) else {
            panic!("a changed listing is a difference")
        };
        assert!(lines.contains(&"-     ud2".to_owned()) && lines.contains(&"+     ret".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("g:")), "{lines:?}");
    }

    #[test]
    fn other_compilers_are_not_compared() {
        let (blessed, now) = ("rustc 8".to_owned(), "rustc 9".to_owned());
        let expected = Comparison::OtherCompiler { file: "rust.txt".to_owned(), blessed, now };
        assert_eq!(against(&file("rustc 8", "ud2")), expected);
    }
}
