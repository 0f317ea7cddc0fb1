//! `cargo xtask api`: compares the public items of every published package with the lists in `xtask/api/public`.
//!
//! A change of what others can call then shows in the same commit as its reason. rustdoc says what is public, as JSON, which
//! the stable compiler keeps behind a switch; the crate `public-api` turns that into lines.
#![forbid(unsafe_code)]

mod difference;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cargo_metadata::MetadataCommand;
use clap::Parser;
use sparsemem_terminal::{Failure, Status, finish, say};

/// Compare the public items of every published package with the lists in the repository
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Cli {
    /// Compare the public items of every published package with the lists in the repository
    Api(Args),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// Write the lists anew; the CHANGELOG says what changed, and why.
    #[arg(long)]
    bless: bool,
}

fn main() -> ExitCode {
    let Cli::Api(args) = Cli::parse();
    finish(run(&args))
}

/// The workspace, as far as this command needs it.
struct Workspace {
    /// The names of the published packages that have a library.
    packages: Vec<String>,
    root: PathBuf,
    target: PathBuf,
}

fn run(args: &Args) -> Result<Status, Failure> {
    let workspace = workspace()?;
    document(&workspace)?;
    let mut status = Status::Passed;
    for name in &workspace.packages {
        let list = workspace.root.join("xtask/api/public").join(format!("{name}.txt"));
        let now = public_items(&workspace, name)?;
        if args.bless {
            fs::write(&list, now).map_err(|error| broken(&list, &error))?;
            continue;
        }
        let before = fs::read_to_string(&list).unwrap_or_default();
        let difference = difference::between(&before, &now);
        if !difference.is_empty() {
            status = Status::Failed;
            say(&format!("{name}:\n{difference}"))?;
        }
    }
    say(match status {
        Status::Passed => "passed: the public items are those of the lists\n",
        Status::Failed => {
            "failed: if that is meant, run `cargo xtask api --bless`, and say in the CHANGELOG what changed\n"
        }
    })?;
    Ok(status)
}

/// Asks cargo what is published. The packages of others are of no interest.
fn workspace() -> Result<Workspace, Failure> {
    let metadata = MetadataCommand::new().no_deps().exec();
    let metadata = metadata.map_err(|error| Failure::Broken(format!("cargo metadata: {error}")))?;
    let packages = metadata.workspace_packages().into_iter().filter(|package| {
        // Cargo says "no registry at all" for `publish = false`.
        let is_published = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
        is_published && package.targets.iter().any(cargo_metadata::Target::is_lib)
    });
    let mut packages: Vec<String> = packages.map(|package| package.name.to_string()).collect();
    packages.sort();
    let root = metadata.workspace_root.into_std_path_buf();
    // A folder of its own: other flags would rebuild everything else.
    Ok(Workspace { packages, root, target: metadata.target_directory.into_std_path_buf().join("api") })
}

/// Has rustdoc write what is public, with all features and as published.
fn document(workspace: &Workspace) -> Result<(), Failure> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&workspace.root).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("RUSTDOCFLAGS", "--cfg docsrs -Zunstable-options --output-format=json");
    cargo.args(["doc", "--quiet", "--locked", "--no-deps", "--lib", "--all-features", "--target-dir"]);
    cargo.arg(&workspace.target);
    cargo.args(workspace.packages.iter().flat_map(|name| ["--package", name]));
    let status = cargo.status().map_err(|error| Failure::Broken(format!("cannot run cargo: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::Broken("the documentation does not build".into())) }
}

/// The public items of a package, a line for each, without what the compiler derives.
fn public_items(workspace: &Workspace, name: &str) -> Result<String, Failure> {
    let json = workspace.target.join("doc").join(format!("{}.json", name.replace('-', "_")));
    let items = public_api::Builder::from_rustdoc_json(&json);
    let items = items.omit_blanket_impls(true).omit_auto_trait_impls(true).omit_auto_derived_impls(true);
    let items = items.build().map_err(|error| broken(&json, &error))?;
    Ok(items.items().map(|item| format!("{item}\n")).collect())
}

fn broken(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Broken(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["cargo xtask", "api", "--bless"]).is_ok());
    }
}
