//! Builds the probes and lists them.
//!
//! # Invariants
//!
//! 1. The probes are built as a kernel is: at fixed addresses, in one unit, optimised as a whole (profile `codegen`).

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cargo_metadata::Message;
use sparsemem_disassembly::{Image, Listing};

use super::budgets::{BUDGETS, SELECTED, twin};
use sparsemem_terminal::Failure;

/// The package and its program.
const PROBES: &str = "sparsemem-probes";

/// The beginnings of the names of the probes of `Selected`.
pub(super) const OF_SELECTED: [&str; 2] = ["selected_unchecked", "selected_checked"];

/// The generated code of every probe, and who generated it.
#[derive(Debug)]
pub(crate) struct Generated {
    /// The Rust compiler, as it calls itself.
    pub(crate) rustc: String,
    /// The C compiler, likewise.
    pub(crate) cc: String,
    /// By name of the probe.
    pub(crate) listings: BTreeMap<String, Listing>,
    /// The probes of `Selected`, by the feature that chose the model.
    pub(crate) selected: BTreeMap<&'static str, BTreeMap<String, Listing>>,
}

/// Builds the probes once for each model that `Selected` can be; everything else is the same in each.
pub(super) fn generated() -> Result<Generated, Failure> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Failure::Broken("the budgets are for x86_64: run this on such a machine".to_owned()));
    }
    let (mut selected, mut all) = (BTreeMap::new(), None);
    for (feature, model) in SELECTED {
        eprintln!("building the probes with {feature}");
        let program = build(feature)?;
        let elf = std::fs::read(&program).map_err(|error| unreadable(&program, &error))?;
        let image = Image::parse(&elf).map_err(|error| broken(&error))?;
        selected.insert(model, list(&image, OF_SELECTED.map(str::to_owned))?);
        if all.is_none() {
            let twins = BUDGETS.iter().flat_map(|budget| [budget.probe.to_owned(), twin(budget.probe)]);
            all = Some((list(&image, twins)?, compilers(&program)?));
        }
    }
    let (listings, (rustc, cc)) = all.ok_or_else(|| Failure::Broken("no model to select".to_owned()))?;
    Ok(Generated { rustc, cc, listings, selected })
}

/// Builds the probes and returns where the program is.
fn build(feature: &str) -> Result<PathBuf, Failure> {
    let arguments =
        ["rustc", "--package", PROBES, "--bin", PROBES, "--profile", "codegen", "--features", feature];
    compile(&arguments, &["-Crelocation-model=static"], PROBES)
}

/// Runs cargo and returns where the program is that it made.
pub(super) fn compile(arguments: &[&str], to_rustc: &[&str], program: &str) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).args(["--quiet", "--message-format", "json-render-diagnostics"]);
    if !to_rustc.is_empty() {
        command.arg("--").args(to_rustc);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| broken(&error))?;
    let said = child.stdout.take().ok_or_else(|| Failure::Broken("cargo says nothing".to_owned()))?;
    let made = Message::parse_stream(BufReader::new(said))
        .filter_map(Result::ok)
        .filter_map(|message| match message {
            Message::CompilerArtifact(artifact) if artifact.target.name == program => artifact.executable,
            _ => None,
        })
        .last();
    let status = child.wait().map_err(|error| broken(&error))?;
    match made {
        Some(made) if status.success() => Ok(made.into_std_path_buf()),
        _ => Err(Failure::Broken(format!("`{program}` does not build; a C compiler is needed beside cargo"))),
    }
}

/// The listings of some functions, by name.
fn list(
    image: &Image<'_>,
    names: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, Listing>, Failure> {
    let listed = names.into_iter().map(|name| image.listing(&name).map(|listing| (name, listing)));
    listed.collect::<Result<_, _>>().map_err(|error| broken(&error))
}

/// The compilers, as the program has it.
fn compilers(program: &PathBuf) -> Result<(String, String), Failure> {
    let said = Command::new(program).output().map_err(|error| unreadable(program, &error))?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    line("rustc: ")
        .zip(line("cc: "))
        .ok_or_else(|| Failure::Broken("the probes do not say who compiled them".to_owned()))
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::Broken(error.to_string())
}

fn unreadable(program: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::Broken(format!("{}: {error}", program.display()))
}
