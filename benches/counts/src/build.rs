//! Builds the probes and lists them.
//!
//! # Invariants
//!
//! 1. The probes are built as a kernel is: at fixed addresses, in one unit, optimised as a whole (profile `codegen`).

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Message;
use sparsemem_disassembly::{Image, Listing};

use super::budgets::{BUDGETS, SELECTED, twin};
use super::processors::{self, Foreign};
use sparsemem_report::Arch;
use sparsemem_terminal::Failure;

/// The package and its program.
const PROBES: &str = "sparsemem-probes";

/// The beginnings of the names of the probes of `Selected`.
pub(super) const OF_SELECTED: [&str; 2] = ["selected_unchecked", "selected_checked"];

/// The generated code of every probe, and who generated it.
#[derive(Debug)]
pub(crate) struct Generated {
    /// The processor that it is for.
    pub(crate) arch: Arch,
    /// The Rust compiler, as it calls itself.
    pub(crate) rustc: String,
    /// The C compiler, likewise.
    pub(crate) cc: String,
    /// By name of the probe.
    pub(crate) listings: BTreeMap<String, Listing>,
    /// The probes of `Selected`, by the feature that chose the model.
    pub(crate) selected: BTreeMap<&'static str, BTreeMap<String, Listing>>,
}

/// Builds the probes once for each model that `Selected` can be; everything else is the same in each. What `Selected` is
/// does not depend on the processor, so one model is enough for those that are not the host's.
pub(super) fn generated(arch: Arch) -> Result<Generated, Failure> {
    let foreign = processors::foreign(arch);
    let (mut selected, mut all) = (BTreeMap::new(), None);
    for (feature, model) in SELECTED.into_iter().take(if foreign.is_some() { 1 } else { SELECTED.len() }) {
        eprintln!("building the probes for {arch} with {feature}");
        let program = build(feature, foreign)?;
        let elf = std::fs::read(&program).map_err(|error| unreadable(&program, &error))?;
        let image = Image::parse(&elf).map_err(|error| broken(&error))?;
        selected.insert(model, list(&image, OF_SELECTED.map(str::to_owned))?);
        if all.is_none() {
            let counted = BUDGETS.iter().filter(|budget| budget.on(arch).is_some());
            let twins = counted.flat_map(|budget| [budget.probe.to_owned(), twin(budget.probe)]);
            all = Some((list(&image, twins)?, compilers(&program, foreign)?));
        }
    }
    let (listings, (rustc, cc)) = all.ok_or_else(|| Failure::Broken("no model to select".to_owned()))?;
    Ok(Generated { arch, rustc, cc, listings, selected })
}

/// Builds the probes and returns where the program is.
fn build(feature: &str, foreign: Option<Foreign>) -> Result<PathBuf, Failure> {
    let mut command = cargo();
    command.args([
        "rustc",
        "--package",
        PROBES,
        "--bin",
        PROBES,
        "--profile",
        "codegen",
        "--features",
        feature,
    ]);
    if let Some(Foreign { target, cc, .. }) = foreign {
        sparsemem_foreign::build_for(&mut command, target, "core");
        command.env(format!("CC_{}", target.replace('-', "_")), cc);
    }
    compile(command, &["-Crelocation-model=static"], PROBES)
}

/// The command cargo, without arguments.
pub(super) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs cargo and returns where the program is that it made.
pub(super) fn compile(mut command: Command, to_rustc: &[&str], program: &str) -> Result<PathBuf, Failure> {
    command.args(["--quiet", "--message-format", "json-render-diagnostics"]);
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

/// The compilers of Rust and of C: as the program has it, if it runs on the host.
fn compilers(program: &Path, foreign: Option<Foreign>) -> Result<(String, String), Failure> {
    if let Some(Foreign { cc, .. }) = foreign {
        return Ok((processors::version(sparsemem_foreign::COMPILER)?, processors::version(cc)?));
    }
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

fn unreadable(program: &Path, error: &std::io::Error) -> Failure {
    Failure::Broken(format!("{}: {error}", program.display()))
}
