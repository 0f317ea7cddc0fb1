//! The report: what was measured and how, tables, and plots.
//!
//! # Invariants
//!
//! 1. Numbers are in tables and plots only; the sentences around them are the same in every report.

mod plots;
mod tables;

use std::fmt::Write;
use std::path::Path;

use crate::host::Host;
use crate::result::{Codegen, Results};

/// The text that explains the tables and how their numbers were measured.
const METHOD: &str = include_str!("method.md");

/// Everything that a report is made of.
pub struct Report<'r> {
    /// The results of the run.
    pub results: &'r Results,
    /// The instructions, if they were counted.
    pub codegen: Option<&'r Codegen>,
    /// The machine that measured.
    pub host: &'r Host,
    /// The command.
    pub command: &'r str,
    /// True if it was only a quick look.
    pub quick: bool,
    /// The machines that were measured on.
    pub machines: &'r [String],
}

/// The reason why a report cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct WriteError {
    path: String,
    why: String,
}

impl Report<'_> {
    /// Writes `REPORT.md`, `results.json` and the plots into a folder.
    ///
    /// # Errors
    ///
    /// [`WriteError`], naming the file.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let plots = folder.join("plots");
        let error = |path: &Path, why: String| WriteError { path: path.display().to_string(), why };
        std::fs::create_dir_all(&plots).map_err(|source| error(&plots, source.to_string()))?;
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| error(&path, source.to_string()))
        };
        file("REPORT.md", self.markdown())?;
        file("README-figures.md", self.for_readme())?;
        let json = serde_json::to_string_pretty(self.results).unwrap_or_default();
        file("results.json", json + "\n")?;
        plots::all(self, &plots).map_err(|why| error(&plots, why))
    }

    /// The report as text.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("# What each memory model costs\n\n");
        // A text has room for any line.
        let _ = writeln!(text, "Written by `{}`. {}\n", self.command, self.surroundings());
        if self.quick {
            text.push_str(
                "**A quick look: few samples, and large machines are left out. Do not quote it.**\n\n",
            );
        }
        text.push_str(METHOD);
        text.push_str(&tables::all(self));
        text.push_str("## What was not measured\n\n");
        for skipped in &self.results.skipped {
            let _ = writeln!(text, "- {skipped}");
        }
        text
    }

    /// The figures that the project's README quotes.
    #[must_use]
    pub fn for_readme(&self) -> String {
        let mut text = format!("From `{}`. {}\n\n", self.command, self.surroundings());
        text.push_str(&tables::for_readme(self));
        text
    }

    /// The machine and the compilers of the measurement, as a sentence.
    fn surroundings(&self) -> String {
        let host = self.host;
        let large = if host.has_large_pages() {
            "available"
        } else {
            "not available, so that all memory is on 4 KiB pages"
        };
        let compilers = self.codegen.and_then(|codegen| codegen.compilers.first());
        let compilers = compilers.map(|by| format!(" Compilers: {}; {}.", by.rustc, by.cc));
        format!(
            "Measured on {} ({} processors, {} of last-level cache), {}, large pages {large}.{}",
            host.processor,
            host.processors,
            host.last_level_cache,
            host.kernel,
            compilers.unwrap_or_default()
        )
    }
}
