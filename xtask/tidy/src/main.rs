//! `cargo xtask tidy`: proves the rules of the workspace that no other tool checks.
//!
//! [`load`] reads everything once, the [`rules`] look at it, [`report`] says what they found.
#![forbid(unsafe_code)]

mod floors;
mod load;
mod report;
mod rules;
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
    let outcomes: Vec<Outcome<'_>> = rules::RULES.iter().map(|rule| Outcome::of(rule, &workspace)).collect();
    say(&report::render(&outcomes, &Screen::of_stdout()))?;
    let is_kept = outcomes.iter().all(|outcome| outcome.violations.is_empty());
    Ok(if is_kept { Status::Passed } else { Status::Failed })
}
