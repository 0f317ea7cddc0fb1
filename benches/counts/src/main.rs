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
}
