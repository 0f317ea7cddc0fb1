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
use crate::notations::{self, e820, lsmem, registered};
use crate::statement::{Answer, Statement};
use crate::strays::Strays;
use crate::text::TextLine;
use crate::wrapped::{Joined, Width, in_mail};
use crate::{LineError, Notation, Processor, text};

/// Everything that a text says, before one boot and one table are chosen.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) boots: Vec<Boot>,
    pub(crate) errors: Vec<LineError>,
    /// The number of lines of the text.
    pub(crate) lines: usize,
    /// The next memory line of a kernel begins another boot.
    starts: bool,
    /// The facts besides memory that lines since then state about that boot.
    begun: Boot,
    /// The nodes that were named since then: of that boot, if it has a map.
    held: Vec<(usize, String, Statement)>,
    /// The header of early ranges was the last memory line, or such ranges.
    in_early_ranges: bool,
    /// The header of a table was the last memory line, or its rows.
    in_table: bool,
    /// The columns of the listing of `lsmem` that the rows are of.
    columns: Option<lsmem::Columns>,
    strays: Strays,
    /// The last memory line was the header of a table.
    header: Option<usize>,
    facts: facts::Context,
    /// The line before names the file of the running kernel's version.
    asks_version: bool,
    /// A memory line had a time stamp or another prefix.
    is_stamped: bool,
    /// The command line gives a map of its own, which need not be made of the firmware's.
    gives_map: bool,
}

/// A line that was read: its message where a notation knows it, and what that says.
struct Found<'a> {
    message: Line<'a>,
    answer: Result<Statement, crate::Reason>,
}

impl Scan {
    /// Reads a text.
    pub(crate) fn new(text: &str) -> Self {
        let mut scan = Self { boots: vec![Boot::default()], ..Self::default() };
        let (lines, count) = text::lines(text);
        scan.lines = count;
        let width = Width::of(&lines);
        let mut lines = lines.as_slice();
        while let Some((line, rest)) = lines.split_first() {
            let joined = scan.joined(&width, line, rest);
            let taken = joined.as_ref().map_or(0, |joined| joined.taken);
            let text = joined.as_ref().map_or(&*line.text, |joined| &joined.text);
            scan.line(line.number, text);
            lines = rest.get(taken..).unwrap_or_default();
        }
        scan.finish();
        scan
    }

    /// A line with those that it was wrapped into, if they say something together.
    fn joined(&self, width: &Width, line: &TextLine<'_>, rest: &[TextLine<'_>]) -> Option<Joined> {
        let is_better = |joined: &Joined| self.is_better(&joined.text, line, rest.iter().take(joined.taken));
        let says_nothing = || self.anywhere(&Line::new(&line.text)).is_none_or(|found| found.answer.is_err());
        let by_width = width.joined(line, rest).filter(is_better);
        by_width.or_else(|| in_mail(line, rest).take_while(|_| says_nothing()).find(is_better))
    }

    /// Files what had to wait for the end of the text.
    fn finish(&mut self) {
        for (number, text, item) in std::mem::take(&mut self.held) {
            self.file(number, Line::new(&text), Line::new(&text), item);
        }
        let begun = std::mem::take(&mut self.begun);
        if let Some(boot) = self.boots.last_mut() {
            boot.join(begun);
        }
        for boot in &mut self.boots {
            boot.has_own_map = self.gives_map;
            boot.finish(&mut self.errors);
        }
        self.errors.extend(self.strays.at_end(self.lines));
        self.errors.sort_by_key(|error| error.line);
    }

    /// True if a line and those that it was wrapped into say together what none of them says by itself.
    fn is_better<'t>(
        &self,
        joined: &str,
        line: &TextLine<'_>,
        mut further: impl Iterator<Item = &'t TextLine<'t>>,
    ) -> bool {
        let answer = |text: &str| self.anywhere(&Line::new(text)).map(|found| found.answer);
        let fact =
            |text: &str| Line::new(text).beginnings().find_map(|line| self.facts.clone().read(line.message));
        if further.any(|line| answer(&line.text).is_some() || fact(&line.text).is_some()) {
            return false;
        }
        match (answer(joined), answer(&line.text)) {
            (Some(Ok(joined)), Some(Ok(alone))) => joined != alone,
            (Some(joined), _) => joined.is_ok(),
            (None, alone) => {
                let whole = fact(joined);
                whole.is_some() && whole != fact(&line.text) && !matches!(alone, Some(Ok(_)))
            }
        }
    }

    /// Reads one line.
    fn line(&mut self, number: usize, raw: &str) {
        let line = Line::new(raw);
        if let Some(columns) = lsmem::Columns::read(&line) {
            self.columns = Some(columns);
        }
        let found = self.anywhere(&line);
        let row = found.as_ref().and_then(|found| Some((found.message, found.answer.as_ref().ok()?)));
        self.strays.see(number, line, row, &mut self.errors);
        match found {
            Some(Found { answer: Ok(Statement::BootStart), .. }) if self.is_of_running_kernel(line) => {}
            Some(Found { message, answer: Ok(item) }) => self.item(number, line, message, item),
            Some(Found { answer: Err(reason), .. }) => self.errors.push(LineError::new(number, raw, reason)),
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

    /// Reads a line, with its message at the first word at which one can be read. A row of an iomem listing is one only if
    /// no surer message stands behind it: loggers write ranges, too.
    fn anywhere<'a>(&self, line: &Line<'a>) -> Option<Found<'a>> {
        let first = self.at(line).map(|answer| Found { message: *line, answer });
        let is_row =
            matches!(&first, Some(Found { answer: Ok(Statement::Row(_) | Statement::DoubtfulRow(_)), .. }));
        if first.as_ref().is_some_and(|first| first.answer.is_ok()) && !is_row {
            return first;
        }
        let mut broken = first;
        for later in line.later().filter(|later| !is_row || self.is_sure(later)) {
            match self.at(&later).map(|answer| Found { message: later, answer }) {
                Some(found) if found.answer.is_ok() => return Some(found),
                Some(_) if !self.is_sure(&later) => {}
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
            return self.strays.last_table() == Some(Notation::XEN_HYPERVISOR);
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
        let listed = self.columns.as_ref().and_then(|columns| columns.row(line));
        let unnamed = || if self.in_table { e820::unnamed_entry(line) } else { None };
        early.or(listed).or_else(|| notations::read(line)).or_else(unnamed)
    }

    /// Files an item with the boot it belongs to.
    fn item(&mut self, number: usize, line: Line<'_>, message: Line<'_>, item: Statement) {
        self.in_early_ranges = matches!(item, Statement::Frames(..) | Statement::EarlyRangesStart);
        self.in_table =
            matches!(item, Statement::BootStart | Statement::TableStart | Statement::EarlyRangesStart)
                || self.in_table && matches!(item, Statement::Entry(..) | Statement::Nothing);
        let header = self.header.take().filter(|_| matches!(item, Statement::Entry(..)));
        let heads = message.message.ends_with("RAM map:") || matches!(item, Statement::EarlyRangesStart);
        self.header = heads.then_some(number);
        if matches!(item, Statement::BootStart) {
            self.starts = self.boots.last().is_some_and(|boot| !boot.is_blank());
            return;
        }
        self.is_stamped |= item.is_of_a_log() && !line.raw.trim_start().starts_with(line.message);
        if self.starts && item.names_nodes() {
            self.held.push((number, line.raw.to_owned(), item));
            return;
        }
        if self.starts && item.is_of_a_log() {
            self.starts = false;
            self.boots.push(std::mem::take(&mut self.begun));
            for (number, text, item) in std::mem::take(&mut self.held) {
                self.file(number, Line::new(&text), Line::new(&text), item);
            }
        }
        self.file(number, line, message, item);
        if let (Some(header), Some(boot)) = (header, self.boots.last_mut()) {
            boot.headers.push((number, header));
        }
    }

    /// Files an item with the last boot.
    fn file(&mut self, number: usize, line: Line<'_>, message: Line<'_>, item: Statement) {
        if let Some(boot) = self.boots.last_mut() {
            boot.add(number, line, message, item);
        }
    }

    /// Reads what a line says about the map, to compare the map with it.
    fn fact(&mut self, number: usize, line: Line<'_>) {
        let found = line.beginnings().find_map(|line| self.facts.read(line.message));
        // A boot has its first facts before its map.
        let boot = if self.starts { Some(&mut self.begun) } else { self.boots.last_mut() };
        if let Some(boot) = boot {
            boot.frame_bytes = boot.frame_bytes.or_else(|| FrameSize::said(line.message));
            boot.processor = boot.processor.or_else(|| Processor::said(line.message));
            boot.facts.extend(found.map(|fact| (number, fact)));
        }
    }
}
