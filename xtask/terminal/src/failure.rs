//! The ends of a command: passed, failed, or not run at all.

use std::io::Write;
use std::process::ExitCode;

/// The end of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Everything is as it should be.
    Passed,
    /// Something that was looked at is wrong; the report says what.
    Failed,
}

/// The reason why a command could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was asked for does not exist or cannot be read; the text names it and says what would do.
    Usage(String),
    /// The surroundings are broken.
    Broken(String),
    /// Whoever read the output has gone.
    NobodyListens,
}

/// Writes a text to standard error. If nobody takes it, the command goes on: its result is the exit status and standard output.
pub fn remark(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says what went wrong and picks the exit status: 0 passed, 1 failed, 2 wrong usage.
#[must_use]
pub fn finish(result: Result<Status, Failure>) -> ExitCode {
    match result {
        Ok(Status::Passed) => ExitCode::SUCCESS,
        Ok(Status::Failed) => ExitCode::FAILURE,
        Err(Failure::Usage(text)) => {
            remark(&format!("error: {text}\n"));
            ExitCode::from(2)
        }
        Err(Failure::Broken(text)) => {
            remark(&format!("error: {text}\n"));
            ExitCode::FAILURE
        }
        Err(Failure::NobodyListens) => ExitCode::FAILURE,
    }
}
