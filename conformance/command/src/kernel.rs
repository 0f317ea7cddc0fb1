//! `cargo xtask kernel`: boots a kernel on one of the models in QEMU, and shows what it prints.

use std::io::Write;

use sparsemem_any::Backend;
use sparsemem_qemu::{Look, OnOstd, QemuError};
use sparsemem_report::{Arch, Outcome, Verdict};

use sparsemem_terminal::{Failure, Status};

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model that the kernel is built with; by default vmemmap, and with `--ostd` each.
    #[arg(long, value_name = "NAME")]
    backend: Option<Backend>,
    /// Boot a kernel on ostd instead, and compare the model with ostd's own metadata for every frame.
    #[arg(long, conflicts_with_all = ["arch", "machine", "run", "args"])]
    ostd: bool,
    /// The processor that QEMU emulates: x86_64, aarch64 or riscv64.
    #[arg(long, value_name = "NAME", default_value = "x86_64")]
    arch: Arch,
    /// The machine that QEMU emulates; by default, one that suits.
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// The kernel's task: `look`, `scenarios`, or one story such as `dimm/comes-and-goes`.
    #[arg(long, value_name = "WORD", default_value = "look")]
    run: String,
    /// Arguments for QEMU, after those of the machine.
    #[arg(last = true, value_name = "QEMU ARGS")]
    args: Vec<String>,
}

/// Boots the kernel, or those on ostd.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    if !args.ostd {
        let look = Look {
            backend: args.backend.unwrap_or(Backend::Vmemmap),
            arch: args.arch,
            machine: args.machine.clone(),
            run: args.run.clone(),
            args: args.args.clone(),
        };
        return shown(|show| look.run(show));
    }
    let backends = args.backend.as_ref().map_or(&Backend::ALL[..], std::slice::from_ref);
    for backend in backends {
        if shown(|show| OnOstd { backend: *backend }.run(show))? == Status::Failed {
            return Ok(Status::Failed);
        }
    }
    Ok(Status::Passed)
}

/// Prints what a kernel says while it runs, and why it failed if it did.
fn shown(boot: impl FnOnce(&mut dyn FnMut(&str)) -> Result<Verdict, QemuError>) -> Result<Status, Failure> {
    let mut out = std::io::stdout().lock();
    let mut is_heard = true;
    let verdict = boot(&mut |line| is_heard &= writeln!(out, "{line}").is_ok());
    match verdict.map_err(|error| Failure::Broken(error.to_string()))? {
        _ if !is_heard => Err(Failure::NobodyListens),
        (Outcome::Passed, _) => Ok(Status::Passed),
        (_, why) => {
            eprintln!("{}", why.lines().next().unwrap_or_default());
            Ok(Status::Failed)
        }
    }
}
