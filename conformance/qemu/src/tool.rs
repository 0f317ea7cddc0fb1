//! QEMU on this machine: whether it is there, and how it is run whatever it is to show.

use std::process::{Command, Stdio};

use super::QemuError;

/// The program.
const PROGRAM: &str = "qemu-system-x86_64";

/// What every run has in common: software emulation, so that it is the same everywhere; no screen; an end of its own
/// instead of a reboot; and the port that the kernel ends QEMU through.
const COMMON: &[&str] = &[
    "-accel",
    "tcg",
    "-display",
    "none",
    "-no-reboot",
    "-nodefaults",
    "-no-user-config",
    "-device",
    "isa-debug-exit,iobase=0xf4,iosize=4",
];

/// Makes sure that QEMU can be run.
///
/// # Errors
///
/// [`QemuError::NoQemu`], which says what to install.
pub(super) fn check() -> Result<(), QemuError> {
    let quiet = || Stdio::null();
    let tried =
        Command::new(PROGRAM).arg("--version").stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    match tried {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(QemuError::NoQemu { why: format!("`{PROGRAM} --version` ended with {status}") }),
        Err(error) => Err(QemuError::NoQemu { why: format!("`{PROGRAM}`: {error}") }),
    }
}

/// A command that runs QEMU with what every run has in common.
pub(super) fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(COMMON);
    command
}
