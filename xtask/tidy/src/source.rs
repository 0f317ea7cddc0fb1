//! One Rust file, with the lines of its tests marked.
//!
//! Test code is what only a test build sees: files in `tests/` and `benches/`, items under `#[cfg(test)]` or for a model
//! checker (`#[cfg(sparsemem_loom)]`), and the files of modules declared so.

use super::scan::{Line, scan};

/// How the attribute of an item begins that only a test build sees.
const GATES: [&str; 4] =
    ["#[cfg(test)]", "#[cfg(all(test", "#[cfg(any(test,sparsemem_loom))]", "#[cfg(sparsemem_loom)]"];

/// A Rust source file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Where it is, from the workspace's root.
    pub(crate) path: String,
    /// Its lines.
    pub(crate) lines: Vec<Line>,
}

impl Source {
    /// Reads `text` as the file at `path` of the package in `folder`.
    pub(crate) fn new(path: &str, folder: &str, text: &str) -> Self {
        let mut source = Self { path: path.to_owned(), lines: scan(text) };
        let inside = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/');
        if inside.starts_with("tests/") || inside.starts_with("benches/") {
            source.mark_all();
        } else {
            source.mark_items();
        }
        source
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        (1..).zip(&self.lines)
    }

    /// Lines outside tests, with their numbers.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.numbered().filter(|(_, line)| !line.test)
    }

    /// Whether the code has `wanted` somewhere, whatever the spaces.
    pub(crate) fn has_code(&self, wanted: &str) -> bool {
        self.lines.iter().any(|line| squeeze(&line.code).contains(wanted))
    }

    /// Marks the whole file as test code.
    pub(crate) fn mark_all(&mut self) {
        for line in &mut self.lines {
            line.test = true;
        }
    }

    /// Where the files of the modules are that exist only in test builds: each path without `.rs`.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let folder = self.module_folder();
        let names = self.lines.iter().filter(|line| line.test).filter_map(|line| module_name(&line.code));
        names.map(|name| format!("{folder}/{name}")).collect()
    }

    /// The folder in which this file's modules live.
    fn module_folder(&self) -> String {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        if matches!(name, "lib" | "main" | "mod") { folder.to_owned() } else { stem.to_owned() }
    }

    fn mark_items(&mut self) {
        let mut at = 0;
        while at < self.lines.len() {
            let code = squeeze(&self.lines[at].code);
            if code.contains("#![cfg(test)]") {
                return self.mark_all();
            }
            let gated = GATES.iter().any(|gate| code.contains(gate));
            at = if gated { self.mark_item(at) } else { at + 1 };
        }
    }

    /// Marks the item that starts with the attribute at line `from`; returns the line behind it.
    fn mark_item(&mut self, from: usize) -> usize {
        let mut depth = 0;
        for (at, line) in self.lines.iter_mut().enumerate().skip(from) {
            line.test = true;
            for c in line.code.chars() {
                depth += i32::from(matches!(c, '{' | '(' | '[')) - i32::from(matches!(c, '}' | ')' | ']'));
                if depth == 0 && matches!(c, '}' | ';') {
                    return at + 1;
                }
            }
        }
        self.lines.len()
    }
}

/// The name in `mod name;`, with any visibility.
fn module_name(code: &str) -> Option<&str> {
    let (_, rest) = code.split_once("mod ")?;
    rest.trim().strip_suffix(';').map(str::trim)
}

/// `text` without white space.
pub(crate) fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn marked(text: &str) -> Vec<usize> {
        let source = Source::new("crates/a/src/lib.rs", "crates/a", text);
        source.numbered().filter(|(_, line)| line.test).map(|(number, _)| number).collect()
    }

    #[test]
    fn items_under_cfg_test_are_marked_to_their_end() {
        assert_eq!(
            marked("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { c([0; 2]); }\n}\nfn d() {}\n"),
            [2, 3, 4, 5]
        );
        assert_eq!(marked("#[cfg(test)]\nextern crate std;\nfn a() {}\n"), [1, 2]);
        assert_eq!(marked("#[cfg(all(test, not(miri)))]\n#[allow(x)]\nfn a() {\n}\nfn b() {}"), [1, 2, 3, 4]);
        assert_eq!(marked("#[cfg(not(test))]\nfn a() {}\n"), [0; 0]);
    }

    #[test]
    fn files_of_tests_are_tests() {
        let source = Source::new("crates/a/tests/it/main.rs", "crates/a", "fn a() {}\n");
        assert!(source.lines[0].test);
    }

    #[test]
    fn modules_of_tests_are_found_beside_their_parent() {
        let text = "#[cfg(test)]\npub(crate) mod fixture;\nmod other;\n";
        let at = |path| Source::new(path, "crates/a", text).test_modules();
        assert_eq!(at("crates/a/src/lib.rs"), ["crates/a/src/fixture"]);
        assert_eq!(at("crates/a/src/deep.rs"), ["crates/a/src/deep/fixture"]);
    }
}
