//! Reads every line of a text and files it with the boot that it belongs to.
//!
//! # Invariants
//!
//! 1. A line that needs those before it to be understood is read first.
//! 2. A boot begins with the first memory line of a kernel after a line that says that one starts. Listings, which do not
//!    come from a kernel's log, begin none, so that `/proc/version` between a log and a listing separates nothing.

use crate::boot::Boot;
use crate::facts;
use crate::frames::FrameSize;
use crate::line::Line;
use crate::notations::{self, e820, registered};
use crate::statement::{Answer, Statement};
use crate::{LineError, Notation, Reason, text};

/// Everything that a text says, before one boot and one table are chosen.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) boots: Vec<Boot>,
    pub(crate) errors: Vec<LineError>,
    /// The number of lines of the text.
    pub(crate) lines: usize,
    /// The next memory line of a kernel begins another boot.
    starts: bool,
    /// The header of early ranges was the last memory line, or such ranges.
    in_early_ranges: bool,
    /// The header of a table was the last memory line, or its rows.
    in_table: bool,
    /// The e820 table that the last row belongs to.
    last_table: Option<Notation>,
    /// Lines since then that look like rows of it.
    strays: Vec<LineError>,
    facts: facts::Context,
    /// The line before names the file of the running kernel's version.
    asks_version: bool,
    /// A memory line had a time stamp or another prefix.
    is_stamped: bool,
    /// The command line gives a map of its own, which need not be made of the firmware's.
    gives_map: bool,
}

impl Scan {
    /// Reads a text.
    pub(crate) fn new(text: &str) -> Self {
        let mut scan = Self { boots: vec![Boot::default()], ..Self::default() };
        let (lines, count) = text::lines(text);
        scan.lines = count;
        for line in &lines {
            scan.line(line.number, &line.text);
        }
        for boot in &mut scan.boots {
            boot.has_own_map = scan.gives_map;
            boot.finish(&mut scan.errors);
        }
        scan.errors.sort_by_key(|error| error.line);
        scan
    }

    /// Reads one line.
    fn line(&mut self, number: usize, raw: &str) {
        let line = Line::new(raw);
        let answer = self.anywhere(&line);
        self.rows_in_between(number, raw, line, answer.as_ref());
        match answer {
            Some(Ok(Statement::BootStart)) if self.is_of_running_kernel(line) => {}
            Some(Ok(item)) => self.item(number, line, item),
            Some(Err(reason)) => self.errors.push(LineError::new(number, raw, reason)),
            None => {}
        }
        self.asks_version = raw.contains("/proc/version");
        self.gives_map |= raw.contains("memmap=exactmap") || raw.contains("elfcorehdr=");
        self.fact(number, line);
    }

    /// True if the line is that of `/proc/version`, which looks like a kernel's first one, and has no stamp where the log
    /// has some.
    fn is_of_running_kernel(&self, line: Line<'_>) -> bool {
        let is_bare = line.raw.trim_start().starts_with("Linux version ");
        is_bare && (self.asks_version || self.is_stamped)
    }

    /// Reads a line, with its message at the first word at which one can be read.
    fn anywhere(&mut self, line: &Line<'_>) -> Answer {
        let first = self.at(line);
        if matches!(first, Some(Ok(_))) {
            return first;
        }
        let mut broken = first;
        for later in line.later() {
            match self.at(&later) {
                Some(Ok(item)) => return Some(Ok(item)),
                Some(Err(_)) if !self.is_sure(&later) => {}
                other => broken = broken.or(other),
            }
        }
        broken
    }

    /// True if a message at a later word that cannot be read is one of memory nevertheless: its first words are those of no
    /// other line, or it stands among such lines.
    fn is_sure(&self, line: &Line<'_>) -> bool {
        const SURE: [&str; 9] = [
            "BIOS-e820:",
            "BIOS-e801:",
            "BIOS-88:",
            "user: [mem",
            "extended: [mem",
            "modified: [mem",
            "SRAT: Node ",
            "e820: update [mem",
            "e820: remove [mem",
        ];
        if line.by_xen {
            return self.last_table == Some(Notation::XEN_HYPERVISOR);
        }
        let is_early = line.message.starts_with("node ") && line.message.contains(": [mem 0x");
        is_early
            || self.in_table
            || self.in_early_ranges
            || SURE.iter().any(|words| line.message.starts_with(words))
    }

    /// Reads a line whose message begins here.
    fn at(&self, line: &Line<'_>) -> Answer {
        if registered::heads_early_ranges(line) {
            return Some(Ok(Statement::EarlyRangesStart));
        }
        let early = registered::bare_early_range(line);
        // Without their header, such ranges are known by their form, if nothing unknown stands before them.
        let is_one = early.as_ref().is_some_and(Result::is_ok) && !line.raw.is_empty();
        let early = early.filter(|_| self.in_early_ranges || is_one);
        let unnamed = || if self.in_table { e820::unnamed_entry(line) } else { None };
        early.or_else(|| notations::read(line)).or_else(unnamed)
    }

    /// Lines between rows of one table that look like rows and are none are errors, once the table goes on.
    fn rows_in_between(
        &mut self,
        number: usize,
        raw: &str,
        line: Line<'_>,
        answer: Option<&Result<Statement, Reason>>,
    ) {
        match answer {
            Some(Ok(Statement::Entry(notation, _))) if notation.is_e820_style() => {
                if self.last_table == Some(*notation) {
                    self.errors.append(&mut self.strays);
                }
                self.strays.clear();
                self.last_table = Some(*notation);
            }
            Some(Ok(Statement::TableStart | Statement::EarlyRangesStart | Statement::BootStart)) => {
                self.last_table = None;
                self.strays.clear();
            }
            Some(_) => {}
            None => {
                if self.last_table.is_some() && line.beginnings().any(|line| e820::is_row(line.message)) {
                    self.strays.push(LineError::new(number, raw, Reason::StrayRow));
                }
            }
        }
    }

    /// Files an item with the boot it belongs to.
    fn item(&mut self, number: usize, line: Line<'_>, item: Statement) {
        self.in_early_ranges = matches!(item, Statement::Frames(..) | Statement::EarlyRangesStart);
        self.in_table =
            matches!(item, Statement::BootStart | Statement::TableStart | Statement::EarlyRangesStart)
                || self.in_table && matches!(item, Statement::Entry(..) | Statement::Nothing);
        if matches!(item, Statement::BootStart) {
            self.starts = true;
            return;
        }
        if std::mem::take(&mut self.starts) {
            if item.is_of_a_log() {
                self.boots.push(Boot::default());
            } else {
                self.starts = true;
            }
        }
        self.is_stamped |= item.is_of_a_log() && !line.raw.trim_start().starts_with(line.message);
        if let Some(boot) = self.boots.last_mut() {
            boot.add(number, line, item);
        }
    }

    /// Reads what a line says about the map, to compare the map with it.
    fn fact(&mut self, number: usize, line: Line<'_>) {
        let found = line.beginnings().find_map(|line| self.facts.read(line.message));
        let size = FrameSize::said(line.message);
        // A boot that has only begun has its first facts before its map.
        if let Some(boot) = self.boots.last_mut() {
            boot.frame_bytes = boot.frame_bytes.or(size);
            boot.facts.extend(found.map(|fact| (number, fact)));
        }
    }
}
