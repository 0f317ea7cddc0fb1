//! The things that rules look at: the packages, and every text file.
//!
//! # Invariants
//!
//! 1. All paths are relative to the workspace's root and use `/`.
//! 2. Rules get everything from here and touch no file themselves, so that each can be tested on made-up sources.

use super::floors::is_product;

/// The workspace as the rules see it.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Its packages, sorted by name.
    pub(crate) packages: Vec<Package>,
    /// Every text file that is not built by cargo or kept by git.
    pub(crate) files: Vec<TextFile>,
}

impl Workspace {
    /// Every Rust file, also those of the kernel, which is no member of the workspace.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The sources that a kernel links.
    pub(crate) fn product(&self) -> impl Iterator<Item = &TextFile> {
        let product = self.packages.iter().filter(|package| is_product(&package.name));
        let folders: Vec<String> = product.map(|package| format!("{}/src/", package.folder)).collect();
        self.sources().filter(move |file| folders.iter().any(|folder| file.path.starts_with(folder)))
    }

    /// The number of the first line of the file at `path` that contains `wanted`, or 1.
    pub(crate) fn line_of(&self, path: &str, wanted: &str) -> usize {
        let file = self.files.iter().find(|file| file.path == path);
        file.and_then(|file| file.text.lines().position(|line| line.contains(wanted))).map_or(1, |at| at + 1)
    }
}

/// A file that is read as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextFile {
    /// Its path.
    pub(crate) path: String,
    /// Its contents.
    pub(crate) text: String,
}

impl TextFile {
    /// The number of its lines.
    pub(crate) fn length(&self) -> usize {
        self.text.lines().count()
    }
}

/// One package.
#[derive(Debug, Default)]
pub(crate) struct Package {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: String,
    /// The packages that it needs to run, as opposed to what its tests and its build need.
    pub(crate) dependencies: Vec<String>,
    /// True if it goes to a registry.
    pub(crate) is_published: bool,
}

impl Package {
    /// The path of its manifest.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// Made-up workspaces for the tests of the rules.
#[cfg(test)]
pub(crate) mod fixture {
    use super::super::rules::Violation;
    use super::{Package, TextFile, Workspace};

    /// A workspace of packages without files: names, and what they depend on.
    pub(crate) fn packages(list: &[(&str, &[&str])]) -> Workspace {
        let packages = list.iter().map(|(name, dependencies)| Package {
            name: (*name).to_owned(),
            folder: format!("crates/{}", name.trim_start_matches("sparsemem-")),
            dependencies: dependencies.iter().map(|it| (*it).to_owned()).collect(),
            is_published: false,
        });
        Workspace { packages: packages.collect(), files: Vec::new() }
    }

    /// A workspace of files without packages: paths and texts.
    pub(crate) fn files(list: &[(&str, &str)]) -> Workspace {
        let file = |(path, text): &(&str, &str)| TextFile { path: (*path).into(), text: (*text).into() };
        Workspace { packages: Vec::new(), files: list.iter().map(file).collect() }
    }

    /// A workspace of one package with one source file.
    pub(crate) fn source(name: &str, text: &str) -> Workspace {
        let packages = packages(&[(name, &[])]).packages;
        let path = format!("{}/src/lib.rs", packages[0].folder);
        Workspace { packages, ..files(&[(&path, text)]) }
    }

    /// The violations as `line: text`, which is short enough to compare.
    pub(crate) fn short(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(|violation| format!("{}: {}", violation.line, violation.what)).collect()
    }
}
