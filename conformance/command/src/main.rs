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

/// The memory models on real machines.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot real machines on every backend and check that they do what they have to.
    Conformance(conformance::Args),
    /// Draw what the models make of a machine, and what each of them costs there.
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

    /// The documents that name commands.
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
            assert!(Cli::try_parse_from(words).is_ok(), "a document says `cargo xtask {line}`");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
