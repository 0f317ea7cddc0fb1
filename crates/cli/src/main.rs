//! `sparsemem`: draws physical memory maps and what memory models make of them, and compares two of them.
//!
//! Each command is a module that computes first and renders afterwards, so that both can be tested without a terminal.
#![deny(unsafe_code)]

mod compare;
mod device;
mod inspect;
mod inspection;
mod look;
mod source;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use sparsemem_terminal::{Failure, Status, finish};

/// Draws physical memory maps and what memory models make of them
#[derive(Debug, Parser)]
#[command(name = "sparsemem", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw the state of the models on a machine, and the memory that each of them takes
    ///
    /// Exits with 1 if the log contradicts its own map.
    Inspect(inspect::Args),
    /// Show how two memory maps differ, and what each of them costs
    ///
    /// Exits with 1 if they differ.
    Compare(compare::Args),
    /// Print a script that completes this command line
    Completions {
        /// The shell that reads it
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder, which is made if it does not exist
    Man {
        /// The folder
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    finish(match Cli::parse().command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Completions { shell } => completions(shell),
        Command::Man { folder } => man(folder),
    })
}

fn completions(shell: Shell) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sparsemem", &mut script);
    print(&script)
}

fn man(folder: Option<PathBuf>) -> Result<Status, Failure> {
    let broken = |error: std::io::Error| Failure::Broken(format!("cannot write the manual: {error}"));
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(broken)?;
        return print(&page);
    };
    std::fs::create_dir_all(&folder).map_err(broken)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(broken)?;
    Ok(Status::Passed)
}

fn print(bytes: &[u8]) -> Result<Status, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|_| Failure::NobodyListens)?;
    Ok(Status::Passed)
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::Parser;

    #[test]
    fn the_command_line_is_consistent_and_documents_use_it_right() {
        sparsemem_terminal::check_commands::<Cli>();
    }

    #[test]
    fn a_map_has_one_source() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["sparsemem"], words].concat());
        assert!(parse(&["inspect", "-"]).is_ok() && parse(&["inspect", "--this-machine"]).is_ok());
        assert!(parse(&["inspect"]).is_err() && parse(&["inspect", "a.log", "--this-machine"]).is_err());
        assert!(parse(&["compare", "a.log"]).is_err());
    }
}
