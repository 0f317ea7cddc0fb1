//! The reports of a walk: its progress, its counters, and a difference that it found.

use std::fmt;

/// The progress of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The name of the model.
    pub model: &'static str,
    /// The current machine and level, such as `quad by ranges`.
    pub part: &'static str,
    /// The number of that part, from one.
    pub part_nr: usize,
    /// The number of parts.
    pub nr_parts: usize,
    /// States visited so far, in all parts.
    pub states: u64,
    /// Operations tried so far, in all parts.
    pub transitions: u64,
}

/// The counters of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Boot layouts of all parts: every set of subsections that can be memory at boot.
    pub boot_layouts: u64,
    /// States that differ in something observable. If a part walks each layout separately, its states count once for
    /// each layout.
    pub states: u64,
    /// Pairs of a state and an operation that was tried in it. Operations that were repeated to reach a state again
    /// do not count.
    pub transitions: u64,
    /// Transitions that were refused.
    pub refused: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot_layouts, states, transitions, refused, seconds } = self;
        write!(
            f,
            "{transitions} transitions ({refused} refused) from {states} states of {boot_layouts} boot layouts in \
             {seconds:.1} s"
        )
    }
}

/// A model differs from the reference, with the shortest known sequence of operations that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// The name of the model.
    pub model: &'static str,
    /// The machine and the level.
    pub part: &'static str,
    /// The memory at boot.
    pub boot: String,
    /// The operations after boot; the last one shows the difference.
    pub operations: Vec<String>,
    /// The lines of the reference that differ.
    pub expected: String,
    /// The corresponding lines of the model.
    pub found: String,
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on machine {}:", self.model, self.part)?;
        writeln!(f, "  {}", self.boot)?;
        for (nr, operation) in (1..).zip(&self.operations) {
            writeln!(f, "  {nr}. {operation}")?;
        }
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "  found:    {}", self.found)
    }
}

impl std::error::Error for Discrepancy {}
