//! Reads the workspace from `cargo metadata` and the disk.

use std::fs;

use cargo_metadata::camino::{Utf8DirEntry, Utf8Path};
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::workspace::{Package, TextFile, Workspace};
use sparsemem_terminal::Failure;

/// Folders that hold what others made.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// Reads the workspace that the current folder belongs to.
pub(crate) fn load() -> Result<Workspace, Failure> {
    // The packages of others are not asked for: some of other systems may never have been downloaded.
    let metadata = MetadataCommand::new().no_deps().exec();
    let metadata = metadata.map_err(|error| Failure::Broken(format!("cargo metadata: {error}")))?;
    let root = metadata.workspace_root.as_path();
    let mut workspace = Workspace::default();
    read_folder(root, root, &mut workspace.files)?;
    let packages = metadata.workspace_packages().into_iter();
    workspace.packages = packages.map(|package| convert(package, root)).collect();
    workspace.packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(workspace)
}

fn convert(package: &cargo_metadata::Package, root: &Utf8Path) -> Package {
    let folder = package.manifest_path.parent().unwrap_or(root);
    let needed = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal && !is_for_model_checking(dependency));
    Package {
        name: package.name.to_string(),
        folder: relative(folder, root),
        dependencies: needed.map(|dependency| dependency.name.clone()).collect(),
        // Cargo says "no registry at all" for `publish = false`.
        is_published: package.publish.as_ref().is_none_or(|registries| !registries.is_empty()),
    }
}

/// True if the dependency is there only while a model checker takes the place of the processor.
fn is_for_model_checking(dependency: &cargo_metadata::Dependency) -> bool {
    dependency.target.as_ref().is_some_and(|target| target.to_string() == "cfg(sparsemem_loom)")
}

/// Reads every text file below `folder`.
fn read_folder(folder: &Utf8Path, root: &Utf8Path, files: &mut Vec<TextFile>) -> Result<(), Failure> {
    let broken = |path: &Utf8Path, error| Failure::Broken(format!("{path}: {error}"));
    let entries = folder.read_dir_utf8().and_then(Iterator::collect);
    let mut entries: Vec<Utf8DirEntry> = entries.map_err(|error| broken(folder, error))?;
    entries.retain(|entry| !SKIPPED.contains(&entry.file_name()));
    entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    for path in entries.iter().map(Utf8DirEntry::path) {
        if path.is_dir() {
            read_folder(path, root, files)?;
        } else if let Ok(text) = String::from_utf8(fs::read(path).map_err(|error| broken(path, error))?) {
            files.push(TextFile { path: relative(path, root), text });
        }
    }
    Ok(())
}

fn relative(path: &Utf8Path, root: &Utf8Path) -> String {
    path.strip_prefix(root).unwrap_or(path).as_str().to_owned()
}
