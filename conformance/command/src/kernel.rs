//! `cargo xtask kernel`: boots a kernel on one of the models in QEMU, and shows what it prints.

use std::io::Write;

use sparsemem_any::Backend;
use sparsemem_qemu::Look;
use sparsemem_report::{Arch, Outcome};

use sparsemem_terminal::{Failure, Status};

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model that the kernel is built with.
    #[arg(long, value_name = "NAME", default_value = "vmemmap")]
    backend: Backend,
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

/// Boots the kernel.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let look = Look {
        backend: args.backend,
        arch: args.arch,
        machine: args.machine.clone(),
        run: args.run.clone(),
        args: args.args.clone(),
    };
    let mut out = std::io::stdout().lock();
    let mut is_heard = true;
    let shown = look.run(&mut |line| is_heard &= writeln!(out, "{line}").is_ok());
    match shown.map_err(|error| Failure::Broken(error.to_string()))? {
        _ if !is_heard => Err(Failure::NobodyListens),
        (Outcome::Passed, _) => Ok(Status::Passed),
        (_, why) => {
            eprintln!("{}", why.lines().next().unwrap_or_default());
            Ok(Status::Failed)
        }
    }
}
