//! The processors whose lookups are counted, and what is needed to build for each.

use std::path::Path;
use std::process::Command;

use sparsemem_report::Arch;
use sparsemem_terminal::Failure;

/// The tools that build for a processor other than the host's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foreign {
    /// The target of the Rust compiler.
    pub(super) target: &'static str,
    /// The C compiler.
    pub(super) cc: &'static str,
    /// The Debian package that has it.
    package: &'static str,
}

/// The tools that build for a processor; `None` for x86_64, whose budgets are those of programs of the host.
pub(super) const fn foreign(arch: Arch) -> Option<Foreign> {
    match arch {
        Arch::X86_64 => None,
        Arch::Aarch64 => Some(Foreign {
            target: "aarch64-unknown-none-softfloat",
            cc: "aarch64-linux-gnu-gcc",
            package: "gcc-aarch64-linux-gnu",
        }),
        Arch::Riscv64 => Some(Foreign {
            target: "riscv64gc-unknown-none-elf",
            cc: "riscv64-linux-gnu-gcc",
            package: "gcc-riscv64-linux-gnu",
        }),
    }
}

/// The reason why a processor's lookups cannot be built here, with the remedy.
fn obstacle(arch: Arch) -> Option<String> {
    let Some(Foreign { cc, package, .. }) = foreign(arch) else {
        let is_host = cfg!(target_arch = "x86_64");
        return (!is_host)
            .then(|| "its budgets are those of a machine that has it: run this on one".to_owned());
    };
    let missing = sparsemem_foreign::missing().or_else(|| (!is_there(cc)).then_some(cc))?;
    Some(format!(
        "there is no `{missing}`\ninstall it; on Debian and Ubuntu: apt-get install --no-install-recommends {} {package}",
        sparsemem_foreign::PACKAGES
    ))
}

/// True if a program can be run.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The processors to count: those that were named, or else all that can be built for. What is left out is said.
///
/// # Errors
///
/// The obstacle of one that was named, or that there is none to build for.
pub(super) fn chosen(named: &[Arch]) -> Result<Vec<Arch>, Failure> {
    let wanted = if named.is_empty() { &Arch::ALL[..] } else { named };
    let mut found = Vec::new();
    for arch in Arch::ALL.into_iter().filter(|arch| wanted.contains(arch)) {
        match obstacle(arch) {
            None => found.push(arch),
            Some(why) if named.is_empty() => eprintln!("skipped {arch}: {why}"),
            Some(why) => return Err(Failure::Broken(format!("{arch}: {why}"))),
        }
    }
    if found.is_empty() {
        return Err(Failure::Broken("there is no processor to build for".to_owned()));
    }
    Ok(found)
}

/// The first line of what a compiler calls itself.
pub(super) fn version(compiler: impl AsRef<Path>) -> Result<String, Failure> {
    let program = compiler.as_ref();
    let said = Command::new(program).arg("--version").output();
    let said = said.map_err(|error| Failure::Broken(format!("{}: {error}", program.display())))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(said.lines().next().unwrap_or("an unknown compiler").to_owned())
}
