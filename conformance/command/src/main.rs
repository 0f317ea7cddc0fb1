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
    use clap::{CommandFactory, Parser};
    use sparsemem_terminal::commands_in_documents;

    #[test]
    fn commands_in_documents_are_understood() {
        let is_own = |words: &Vec<String>| {
            words.first().is_some_and(|name| Cli::command().find_subcommand(name).is_some())
        };
        for words in commands_in_documents().filter(is_own) {
            let line = ["cargo xtask"].into_iter().chain(words.iter().map(String::as_str));
            assert!(Cli::try_parse_from(line).is_ok(), "a document contains the invalid command {words:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
