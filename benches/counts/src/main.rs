//! `cargo xtask codegen` and `cargo xtask bench`: what lookups and operations cost, counted and measured.
#![forbid(unsafe_code)]

mod bench;
mod blessed;
mod budgets;
mod build;
mod codegen;
mod operations;
mod processors;
mod report;
mod verdict;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sparsemem_terminal::finish;

/// Counts and measures the cost of the memory models.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what each memory model costs, beside what one would write instead and beside C.
    Bench(bench::Args),
    /// Count the instructions of every lookup, and compare them with budgets, with C, and with the blessed code.
    Codegen(codegen::Args),
}

fn main() -> ExitCode {
    finish(match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Codegen(args) => codegen::run(&args),
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
