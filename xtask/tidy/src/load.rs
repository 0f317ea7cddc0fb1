//! Reads the workspace from `cargo metadata` and the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, camino::Utf8Path};

use super::source::Source;
use super::workspace::{Dependency, Package, TextFile, Workspace, implied};
use sparsemem_terminal::Failure;

/// Folders that hold what others made.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// Reads the workspace that the current folder belongs to.
pub(crate) fn load() -> Result<Workspace, Failure> {
    let metadata = metadata()?;
    let root = metadata.workspace_root.as_path();
    let features = features(&metadata);
    let mut files = Vec::new();
    read_folder(root, root, &mut files)?;
    let mut packages: Vec<Package> =
        metadata.workspace_packages().into_iter().map(|package| convert(package, root, &features)).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    hand_out(&mut packages, &files);
    let mut workspace = Workspace { packages, files };
    workspace.mark_test_modules();
    Ok(workspace)
}

/// Asks for this machine's part only: the packages of other systems may never have been downloaded.
fn metadata() -> Result<Metadata, Failure> {
    let mut command = MetadataCommand::new();
    if let Some(host) = host() {
        command.other_options(["--filter-platform".to_owned(), host]);
    }
    command.exec().map_err(|error| Failure::Broken(format!("cargo metadata: {error}")))
}

/// The name that the compiler has for this machine.
fn host() -> Option<String> {
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let said = Command::new(compiler).arg("-vV").output().ok()?.stdout;
    let said = String::from_utf8(said).ok()?;
    said.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// The feature tables of all packages by name.
fn features(metadata: &Metadata) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let tables = metadata.packages.iter();
    tables.map(|package| (package.name.to_string(), package.features.clone().into_iter().collect())).collect()
}

fn convert(
    package: &cargo_metadata::Package,
    root: &Utf8Path,
    features: &BTreeMap<String, BTreeMap<String, Vec<String>>>,
) -> Package {
    let relative = |path: &Utf8Path| path.strip_prefix(root).unwrap_or(path).as_str().to_owned();
    let dependencies = package.dependencies.iter().map(|dependency| {
        let mut asked = dependency.features.clone();
        asked.extend(dependency.uses_default_features.then(|| "default".to_owned()));
        let table = features.get(&dependency.name).cloned().unwrap_or_default();
        Dependency {
            name: dependency.name.clone(),
            normal: dependency.kind == DependencyKind::Normal && !is_for_model_checking(dependency),
            enabled: implied(asked, &table),
        }
    });
    let manifest = relative(&package.manifest_path);
    Package {
        name: package.name.to_string(),
        folder: manifest.trim_end_matches("/Cargo.toml").to_owned(),
        manifest: TextFile { path: manifest, text: String::new() },
        license: package.license.clone(),
        dependencies: dependencies.collect(),
        sources: Vec::new(),
    }
}

/// Whether the dependency is there only while a model checker takes the place of the processor.
fn is_for_model_checking(dependency: &cargo_metadata::Dependency) -> bool {
    dependency.target.as_ref().is_some_and(|target| target.to_string() == "cfg(sparsemem_loom)")
}

/// Reads every text file below `folder`.
fn read_folder(folder: &Utf8Path, root: &Utf8Path, files: &mut Vec<TextFile>) -> Result<(), Failure> {
    let mut entries: Vec<_> = folder
        .read_dir_utf8()
        .and_then(Iterator::collect)
        .map_err(|error| Failure::Broken(format!("{folder}: {error}")))?;
    entries.sort_by(|a: &cargo_metadata::camino::Utf8DirEntry, b| a.file_name().cmp(b.file_name()));
    for entry in entries {
        let path = entry.path();
        if SKIPPED.contains(&entry.file_name()) {
            continue;
        }
        if path.is_dir() {
            read_folder(path, root, files)?;
        } else if let Some(text) = read_text(path.as_std_path())? {
            files.push(TextFile { path: path.strip_prefix(root).unwrap_or(path).as_str().to_owned(), text });
        }
    }
    Ok(())
}

/// The content of a file, if it is text.
fn read_text(path: &Path) -> Result<Option<String>, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::Broken(format!("{}: {error}", path.display())))?;
    Ok(String::from_utf8(bytes).ok())
}

/// Gives each package its manifest and its Rust files; a file belongs to the innermost package around it.
fn hand_out(packages: &mut [Package], files: &[TextFile]) {
    for file in files {
        if let Some(package) = packages.iter_mut().find(|package| package.manifest.path == file.path) {
            package.manifest.text.clone_from(&file.text);
        }
        if file.path.ends_with(".rs")
            && let Some(package) = packages
                .iter_mut()
                .filter(|package| holds(package, &file.path))
                .max_by_key(|package| package.folder.len())
        {
            package.sources.push(Source::new(&file.path, &package.folder, &file.text));
        }
    }
}

fn holds(package: &Package, path: &str) -> bool {
    path.strip_prefix(package.folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
