//! `cargo xtask tidy`: proves the workspace's own rules.
//!
//! [`load`] reads everything once, the [`rules`] look at it, [`report`] says what they found.

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

use report::Outcome;

use crate::failure::{Failure, Status};
use crate::terminal::Screen;

/// Runs every rule.
pub(crate) fn run() -> Result<Status, Failure> {
    let workspace = load::load()?;
    let check = |rule| Outcome { rule, violations: (rule.check)(&workspace) };
    let outcomes: Vec<Outcome<'_>> = rules::RULES.iter().map(check).collect();
    crate::terminal::say(&report::render(&workspace, &outcomes, &Screen::of_stdout()))?;
    Ok(if report::errors(&outcomes) == 0 { Status::Passed } else { Status::Failed })
}
