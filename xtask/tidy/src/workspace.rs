//! What the rules look at: the packages with their manifests and sources, and every other text file.
//!
//! # Invariants
//!
//! 1. All paths are relative to the workspace's root and use `/`.
//! 2. Rules get everything from here and touch no file themselves, so that each can be tested on made-up sources.

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{Home, home};
use super::source::Source;

/// The workspace as the rules see it.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Its packages, sorted by name.
    pub(crate) packages: Vec<Package>,
    /// Every text file that is not built by cargo or kept by git.
    pub(crate) files: Vec<TextFile>,
}

impl Workspace {
    /// The packages that a kernel links.
    pub(crate) fn kernel_side(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_kernel_side())
    }

    /// Every Rust file of every package.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.packages.iter().flat_map(|package| &package.sources)
    }

    /// Marks the files of modules that their parents declare under `cfg(test)`.
    pub(crate) fn mark_test_modules(&mut self) {
        let stems: Vec<String> = self.sources().flat_map(Source::test_modules).collect();
        let belongs = |path: &str, stem: &String| {
            path.strip_prefix(stem.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        for source in self.packages.iter_mut().flat_map(|package| &mut package.sources) {
            if stems.iter().any(|stem| belongs(&source.path, stem)) {
                source.mark_all();
            }
        }
    }
}

/// A file that is read as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextFile {
    /// Where it is.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

impl TextFile {
    /// The number of the first line that contains `wanted`, or 1.
    pub(crate) fn line_of(&self, wanted: &str) -> usize {
        self.text.lines().position(|line| line.contains(wanted)).map_or(1, |index| index + 1)
    }
}

/// One package.
#[derive(Debug, Default)]
pub(crate) struct Package {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest: TextFile,
    /// The licence that cargo knows of.
    pub(crate) license: Option<String>,
    /// What it depends on, of all kinds.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its Rust files.
    pub(crate) sources: Vec<Source>,
}

impl Package {
    /// Where the floor table puts it.
    pub(crate) fn home(&self) -> Option<&'static Home> {
        home(&self.name)
    }

    /// Whether a kernel links it.
    pub(crate) fn is_kernel_side(&self) -> bool {
        self.home().is_some_and(Home::is_kernel_side)
    }

    /// The file that the compiler starts from.
    pub(crate) fn root_source(&self) -> Option<&Source> {
        ["lib", "main"].iter().find_map(|stem| {
            let path = format!("{}/src/{stem}.rs", self.folder);
            self.sources.iter().find(|source| source.path == path)
        })
    }

    /// What it needs to run, as opposed to what its tests and its build need.
    pub(crate) fn normal_dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.normal)
    }
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dependency {
    /// The package that is depended on.
    pub(crate) name: String,
    /// Whether it is neither for tests nor for the build.
    pub(crate) normal: bool,
    /// The features of it that this line switches on, with all that they imply.
    pub(crate) enabled: BTreeSet<String>,
}

/// The features that `asked` imply in a package with these `features`.
pub(crate) fn implied(asked: Vec<String>, features: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let mut waiting = asked;
    let mut enabled = BTreeSet::new();
    while let Some(feature) = waiting.pop() {
        if enabled.insert(feature.clone()) {
            waiting.extend(features.get(&feature).into_iter().flatten().cloned());
        }
    }
    enabled
}

#[cfg(test)]
mod tests {
    use super::super::fixture::workspace;
    use super::implied;

    #[test]
    fn features_imply_features() {
        let features = [("default", vec!["std"]), ("std", vec!["alloc"]), ("fast", vec![])];
        let owned =
            features.map(|(name, list)| (name.to_owned(), list.into_iter().map(str::to_owned).collect()));
        let enabled = implied(vec!["default".to_owned()], &owned.into());
        assert_eq!(enabled.into_iter().collect::<Vec<_>>(), ["alloc", "default", "std"]);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_test_code() {
        let found = workspace()
            .package(
                "sparsemem-core",
                &[("src/lib.rs", "#[cfg(test)]\nmod fixture;\n"), ("src/fixture/deep.rs", "f();")],
            )
            .build();
        assert!(found.sources().all(|source| source.lines.iter().all(|line| line.test)));
    }
}
