//! The command line: one variant per subcommand, each with a module of its own.

use clap::{Parser, Subcommand};

use crate::failure::{Failure, Status};
use crate::{bench, codegen, conformance, inspect, kernel, tidy};

/// Everything this workspace can do, in one place.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what each memory model costs, beside what one would write instead and beside C.
    Bench(bench::Args),
    /// Count the instructions of every lookup, and compare them with budgets, with C, and with the blessed code.
    Codegen(codegen::Args),
    /// Boot real machines on every backend and check that they do what they have to.
    Conformance(conformance::Args),
    /// Draw what the models make of a machine, and what each of them costs there.
    Inspect(inspect::Args),
    /// Boot a kernel on one of the models in QEMU, and show what it prints.
    Kernel(kernel::Args),
    /// Check the rules of the workspace: floors, unsafe, docs, manifests.
    Tidy,
}

impl Cli {
    /// Runs the command that was asked for.
    pub(crate) fn run(self) -> Result<Status, Failure> {
        match self.command {
            Command::Bench(args) => bench::run(&args),
            Command::Codegen(args) => codegen::run(&args),
            Command::Conformance(args) => conformance::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Kernel(args) => kernel::run(&args),
            Command::Tidy => tidy::run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
