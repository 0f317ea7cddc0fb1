//! The one entry point: `cargo xtask COMMAND`.
//!
//! Each command is a package of its own, so that cargo builds what the command needs, shows what it is building, and builds
//! nothing else. This program depends on nothing and is built in a second.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

/// A command of the workspace.
struct Task {
    /// The name that people type.
    name: &'static str,
    /// The work that it does, in one sentence.
    about: &'static str,
    /// The package whose program does it.
    package: &'static str,
    /// Parts of the package that are built for this command.
    features: &'static [Feature],
}

/// A part of a package.
struct Feature {
    /// Its name in the manifest.
    name: &'static str,
    /// It is built if one of these is among the arguments, or always if there are none here.
    arguments: &'static [&'static str],
}

/// Every command, by name.
const TASKS: [Task; 7] = [
    Task {
        name: "api",
        about: "Compare what each published package has for others with the lists in the repository",
        package: "sparsemem-api",
        features: &[],
    },
    Task {
        name: "bench",
        about: "Measure what each memory model costs, beside what one would write instead and beside C",
        package: "sparsemem-counts",
        features: &[],
    },
    Task {
        name: "codegen",
        about: "Count the instructions of every lookup, and compare them with budgets, with C, and with the blessed code",
        package: "sparsemem-counts",
        features: &[],
    },
    Task {
        name: "conformance",
        about: "Boot real machines on every backend and check that they do what they have to",
        package: "sparsemem-command",
        features: &[
            Feature {
                name: "exhaustive",
                arguments: &["--exhaustive", "--exhaustive=small", "--exhaustive=full"],
            },
            Feature { name: "qemu", arguments: &["qemu", "all", "--world=qemu", "--world=all"] },
        ],
    },
    Task {
        name: "inspect",
        about: "Draw what the models make of a machine, and what each of them costs there",
        package: "sparsemem-cli",
        features: &[],
    },
    Task {
        name: "kernel",
        about: "Boot a kernel on one of the models in QEMU, and show what it prints",
        package: "sparsemem-command",
        features: &[Feature { name: "qemu", arguments: &[] }],
    },
    Task {
        name: "tidy",
        about: "Check the rules of the workspace that no other tool checks",
        package: "sparsemem-tidy",
        features: &[],
    },
];

/// The exit status of wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let name = arguments.first().and_then(|name| name.to_str());
    match name.and_then(|name| TASKS.iter().find(|task| task.name == name)) {
        Some(task) => run(task, &arguments),
        None if matches!(name, Some("help" | "--help" | "-h")) => {
            println!("{}", usage());
            ExitCode::SUCCESS
        }
        None => {
            if let Some(name) = arguments.first() {
                eprintln!("error: there is no command `{}`\n", name.display());
            }
            eprintln!("{}", usage());
            ExitCode::from(USAGE)
        }
    }
}

/// The commands, for people.
fn usage() -> String {
    let lines = TASKS.iter().map(|task| format!("  {:12} {}", task.name, task.about));
    let lines: Vec<String> = lines.collect();
    format!("cargo xtask COMMAND [ARGUMENTS]; each command takes `--help`\n\n{}", lines.join("\n"))
}

/// Builds a command's program and runs it; the exit status is the program's.
fn run(task: &Task, arguments: &[OsString]) -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut program = Command::new(cargo);
    program.args(["run", "--package", task.package, "--no-default-features", "--features"]);
    program.arg(features(task, arguments).join(",")).arg("--").args(arguments);
    match program.status() {
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("error: cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The features that a command needs for its arguments.
fn features(task: &Task, arguments: &[OsString]) -> Vec<&'static str> {
    let is_among = |wanted: &&str| arguments.iter().any(|argument| argument == wanted);
    let is_needed =
        |feature: &&Feature| feature.arguments.is_empty() || feature.arguments.iter().any(is_among);
    task.features.iter().filter(is_needed).map(|feature| feature.name).collect()
}

#[cfg(test)]
mod tests {
    use super::{TASKS, features};

    /// The documents that name commands.
    const DOCUMENTS: [&str; 8] = [
        include_str!("../../README.md"),
        include_str!("../../CONTRIBUTING.md"),
        include_str!("../../docs/which-model.md"),
        include_str!("../../conformance/README.md"),
        include_str!("../../conformance/kernel/README.md"),
        include_str!("../../conformance/ostd/README.md"),
        include_str!("../../conformance/linux/README.md"),
        include_str!("../../conformance/machines/README.md"),
    ];

    #[test]
    fn documents_name_commands_that_exist() {
        let named = DOCUMENTS.iter().flat_map(|text| text.split("cargo xtask ").skip(1));
        for name in named.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next()) {
            assert!(TASKS.iter().any(|task| task.name == name), "a document names `cargo xtask {name}`");
        }
    }

    #[test]
    fn the_readme_shows_code_that_is_compiled() {
        let blocks = DOCUMENTS[0].split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        let compiled = include_str!("../../crates/sparsemem/README.md");
        assert!(blocks.clone().count() > 0);
        for block in blocks {
            assert!(compiled.contains(block), "crates/sparsemem/README.md does not have this code:\n{block}");
        }
    }

    #[test]
    fn only_what_the_arguments_need_is_built() {
        let of = |line: &str| {
            let words: Vec<_> = line.split(' ').map(Into::into).collect();
            features(TASKS.iter().find(|task| line.starts_with(task.name)).unwrap(), &words)
        };
        assert!(of("conformance --machine my.log").is_empty() && of("inspect my.log").is_empty());
        assert_eq!(of("conformance --world qemu"), ["qemu"]);
        assert_eq!(of("conformance --exhaustive small"), ["exhaustive"]);
        assert_eq!(of("kernel --backend vmemmap"), ["qemu"]);
    }
}
