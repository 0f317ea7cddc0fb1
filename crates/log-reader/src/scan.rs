//! Goes over the lines once and sorts what they say by boot.
//!
//! # Invariants
//!
//! 1. Each line is offered to the readers in a fixed order; the first that knows it decides.
//! 2. A line that a reader knows and cannot read becomes a [`LineError`]; nothing else does.

use crate::LineError;
use crate::boot::Boot;
use crate::line::Line;
use crate::notations::{self, registered};
use crate::statement::{Answer, Statement};

/// What a text says, before anything is chosen or resolved.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) boots: Vec<Boot>,
    pub(crate) errors: Vec<LineError>,
    pub(crate) lines: usize,
    in_bare_ranges: bool,
}

impl Scan {
    /// Reads a text.
    pub(crate) fn new(text: &str) -> Self {
        let mut scan = Self { boots: vec![Boot::default()], ..Self::default() };
        for raw in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
            scan.lines += 1;
            scan.line(raw);
        }
        for boot in &mut scan.boots {
            boot.finish(&mut scan.errors);
        }
        scan.errors.sort_by_key(|error| error.line);
        scan
    }

    /// Reads one line.
    fn line(&mut self, raw: &str) {
        let line = Line::new(raw);
        let answer = self.contextual(&line).or_else(|| notations::read(&line));
        match answer {
            Some(Ok(item)) => self.item(raw, item),
            Some(Err(reason)) => self.errors.push(LineError::new(self.lines, raw, reason)),
            None => {}
        }
    }

    /// Reads a line whose meaning depends on those before it.
    fn contextual(&mut self, line: &Line<'_>) -> Answer {
        if registered::heads_bare_ranges(line) {
            self.in_bare_ranges = true;
            return Some(Ok(Statement::TableStart));
        }
        let range = if self.in_bare_ranges { registered::bare_early_range(line) } else { None };
        self.in_bare_ranges = range.is_some();
        range
    }

    /// Files an item with the boot it belongs to.
    fn item(&mut self, raw: &str, item: Statement) {
        if matches!(item, Statement::BootStart) {
            self.boots.push(Boot::default());
        } else if let Some(boot) = self.boots.last_mut() {
            boot.add(self.lines, raw, item);
        }
    }
}
