//! `cargo xtask conformance`, `inspect` and `kernel`.
//!
//! Each command is a module that computes first and renders afterwards, so that both can be tested without a terminal.
#![forbid(unsafe_code)]

mod conformance;
mod inspect;
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
    /// Draw the state of the models on a machine, and the memory that each of them takes.
    Inspect(inspect::Args),
    /// Boot a kernel on one of the models in QEMU, and show what it prints.
    #[cfg(feature = "qemu")]
    Kernel(kernel::Args),
}

fn main() -> ExitCode {
    finish(match Cli::parse().command {
        Command::Conformance(args) => conformance::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        #[cfg(feature = "qemu")]
        Command::Kernel(args) => kernel::run(&args),
    })
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};

    /// The documents that contain commands.
    const DOCUMENTS: [&str; 6] = [
        include_str!("../../../README.md"),
        include_str!("../../../CONTRIBUTING.md"),
        include_str!("../../../conformance/README.md"),
        include_str!("../../../conformance/kernel/README.md"),
        include_str!("../../../conformance/linux/README.md"),
        include_str!("../../../conformance/machines/README.md"),
    ];

    #[test]
    fn commands_in_documents_are_understood() {
        let named = DOCUMENTS.iter().flat_map(|text| text.split("cargo xtask ").skip(1));
        let lines = named.filter_map(|rest| rest.split(['\n', '`', '#', '|', '>', '[']).next());
        let is_own = |line: &&str| Cli::command().find_subcommand(line.split(' ').next().unwrap()).is_some();
        for line in lines.filter(is_own) {
            let words = ["cargo xtask"].into_iter().chain(line.split_whitespace());
            assert!(
                Cli::try_parse_from(words).is_ok(),
                "a document contains the invalid command `cargo xtask {line}`"
            );
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
