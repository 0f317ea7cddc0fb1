//! The forms that a command can give its answer in.

use clap::ValueEnum;

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences.
    #[default]
    Text,
    /// One object, and nothing else on standard output.
    Json,
}
