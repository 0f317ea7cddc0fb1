//! `cargo xtask codegen` and `cargo xtask bench`: what lookups and operations cost, counted and measured.
#![forbid(unsafe_code)]

mod bench;
mod blessed;
mod budgets;
mod build;
mod codegen;
mod operations;
mod report;
mod verdict;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sparsemem_terminal::finish;

/// What the memory models cost.
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
    use clap::{CommandFactory, Parser};

    /// The documents that name commands.
    const DOCUMENTS: [&str; 2] =
        [include_str!("../../../README.md"), include_str!("../../../CONTRIBUTING.md")];

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
}
