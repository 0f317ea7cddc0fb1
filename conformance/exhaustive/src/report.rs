//! What a walk tells: how far it is, what it has done, and where a model differs.

use std::fmt;

use crate::Backend;

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The backend.
    pub backend: Backend,
    /// The machine that is walked now, and how: such as `quad by ranges`.
    pub part: &'static str,
    /// The number of that part, from one.
    pub part_nr: usize,
    /// How many parts there are.
    pub nr_parts: usize,
    /// States visited so far, in all parts.
    pub states: u64,
    /// Operations tried so far, in all parts.
    pub transitions: u64,
}

/// What a walk has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Boot layouts of all parts: every set of subsections that can be memory at boot.
    pub boot_layouts: u64,
    /// States, by what can be seen. Where a part walks each layout by itself, states count for each.
    pub states: u64,
    /// Pairs of a state and an operation that was tried in it. What was repeated to get back is not counted.
    pub transitions: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Units: seconds of wall time.
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

/// A model is not what the reference says, with the shortest known way to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// The backend.
    pub backend: Backend,
    /// The machine, and how it was walked.
    pub part: &'static str,
    /// The memory at boot.
    pub boot: String,
    /// What was done after boot; the last of it shows the difference.
    pub operations: Vec<String>,
    /// What the reference says, as far as it differs.
    pub expected: String,
    /// What the model says there.
    pub found: String,
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on machine {}:", self.backend, self.part)?;
        writeln!(f, "  {}", self.boot)?;
        for (nr, operation) in (1..).zip(&self.operations) {
            writeln!(f, "  {nr}. {operation}")?;
        }
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "  found:    {}", self.found)
    }
}

impl std::error::Error for Discrepancy {}
