//! Made-up workspaces for the tests of the rules.

use super::source::Source;
use super::violation::Violation;
use super::workspace::{Dependency, Package, TextFile, Workspace};

/// Starts an empty workspace.
pub(crate) fn workspace() -> Builder {
    Builder(Workspace::default())
}

/// A workspace that holds one package with one library file.
pub(crate) fn library(name: &str, text: &str) -> Workspace {
    workspace().package(name, &[("src/lib.rs", text)]).build()
}

/// The violations as `line: text`, which is short enough to compare.
pub(crate) fn short(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|violation| format!("{}: {}", violation.line, violation.what)).collect()
}

/// A workspace in the making.
pub(crate) struct Builder(Workspace);

impl Builder {
    /// Adds a package that breaks no manifest rule.
    pub(crate) fn package(mut self, name: &str, files: &[(&str, &str)]) -> Self {
        let folder = format!("crates/{}", name.strip_prefix("sparsemem-").unwrap_or(name));
        let manifest = TextFile {
            path: format!("{folder}/Cargo.toml"),
            text: format!("[package]\nname = \"{name}\"\n\n[lints]\nworkspace = true\n"),
        };
        let sources = files
            .iter()
            .map(|(path, text)| Source::new(&format!("{folder}/{path}"), &folder, text))
            .collect();
        let license = Some("MIT OR Apache-2.0".to_owned());
        let name = name.to_owned();
        self.0.packages.push(Package { name, folder, manifest, license, dependencies: Vec::new(), sources });
        self
    }

    /// Adds a dependency to the last package.
    pub(crate) fn depends(mut self, name: &str, normal: bool, enabled: &[&str]) -> Self {
        let enabled = enabled.iter().map(|feature| (*feature).to_owned()).collect();
        let dependency = Dependency { name: name.to_owned(), normal, enabled };
        self.0.packages.last_mut().unwrap().dependencies.push(dependency);
        self
    }

    /// Replaces the manifest of the last package.
    pub(crate) fn manifest(mut self, text: &str) -> Self {
        text.clone_into(&mut self.0.packages.last_mut().unwrap().manifest.text);
        self
    }

    /// Adds a text file.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.0.files.push(TextFile { path: path.to_owned(), text: text.to_owned() });
        self
    }

    /// The finished workspace.
    pub(crate) fn build(mut self) -> Workspace {
        self.0.mark_test_modules();
        self.0
    }
}
