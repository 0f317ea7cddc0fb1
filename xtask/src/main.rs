//! The one entry point: `cargo xtask COMMAND`.
//!
//! Each command is a module that computes first and renders afterwards, so that both can be tested without a terminal.
#![forbid(unsafe_code)]

mod bench;
mod cli;
mod codegen;
mod conformance;
mod failure;
mod format;
mod inspect;
mod kernel;
mod machine;
mod terminal;
mod tidy;
mod units;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    failure::finish(cli::Cli::parse().run())
}
