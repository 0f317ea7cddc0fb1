//! `cargo xtask conformance` and `kernel`.
//!
//! Each command is a module that computes first and renders afterwards, so that both can be tested without a terminal.
#![forbid(unsafe_code)]

mod conformance;
#[cfg(feature = "qemu")]
mod kernel;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sparsemem_terminal::finish;

/// Runs the memory models on the memory maps of real machines.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot every backend from the memory maps of real machines, and run the scenarios.
    Conformance(conformance::Args),
    /// Boot a kernel on one of the models in QEMU, and show what it prints.
    #[cfg(feature = "qemu")]
    Kernel(kernel::Args),
}

fn main() -> ExitCode {
    finish(match Cli::parse().command {
        Command::Conformance(args) => conformance::run(&args),
        #[cfg(feature = "qemu")]
        Command::Kernel(args) => kernel::run(&args),
    })
}

#[cfg(test)]
mod tests {
    use super::Cli;

    #[test]
    fn the_command_line_is_consistent_and_documents_use_it_right() {
        sparsemem_terminal::check_commands::<Cli>();
    }
}
