//! `cargo xtask tidy`: proves the workspace's own rules.
//!
//! [`load`] reads everything once, the [`rules`] look at it, [`report`] says what they found.
#![forbid(unsafe_code)]

#[cfg(test)]
mod fixture;
mod floors;
mod load;
mod report;
mod rules;
mod scan;
mod source;
mod violation;
mod workspace;

use std::process::ExitCode;

use report::Outcome;

use sparsemem_terminal::{Failure, Screen, Status, finish, say};

fn main() -> ExitCode {
    finish(run())
}

/// Runs every rule.
fn run() -> Result<Status, Failure> {
    let workspace = load::load()?;
    let check = |rule| Outcome { rule, violations: (rule.check)(&workspace) };
    let outcomes: Vec<Outcome<'_>> = rules::RULES.iter().map(check).collect();
    say(&report::render(&workspace, &outcomes, &Screen::of_stdout()))?;
    Ok(if report::errors(&outcomes) == 0 { Status::Passed } else { Status::Failed })
}
