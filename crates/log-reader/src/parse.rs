//! Goes over the lines once, sorts what they say by boot, and gives the layout of the boot that counts.
//!
//! # Invariants
//!
//! 1. A line that needs those before it to be understood is read first; any other line belongs to the first notation
//!    that knows it.
//! 2. A line that a notation knows and cannot read becomes a [`LineError`]; nothing else does.

use crate::boot::Boot;
use crate::line::Line;
use crate::notations::{self, registered};
use crate::statement::{Answer, Statement};
use crate::{LineError, Mode, Note, ParseErrors, Parsed, resolve};

/// Reads a text in any of the notations.
///
/// # Errors
///
/// [`ParseErrors::Malformed`] with every unreadable memory line (strict mode only),
/// [`ParseErrors::HiddenAddresses`] for an iomem listing read without privilege,
/// [`ParseErrors::NoMemoryInformation`] if no line says where memory is.
pub fn parse(text: &str, mode: Mode) -> Result<Parsed, ParseErrors> {
    let Scan { boots, errors, lines, .. } = Scan::new(text);
    if mode == Mode::Strict && !errors.is_empty() {
        return Err(ParseErrors::Malformed(errors));
    }
    let hidden: usize = boots.iter().map(|boot| boot.hidden_rows).sum();
    let mut boots: Vec<Boot> = boots.into_iter().filter(|boot| !boot.tables.is_empty()).collect();
    let Some(boot) = boots.pop() else {
        return Err(nothing(hidden, lines, errors));
    };
    let mut parsed = of_boot(boot, errors).ok_or_else(|| nothing(hidden, lines, Vec::new()))?;
    if !boots.is_empty() {
        parsed.notes.push(Note::EarlierBoots { count: boots.len() });
    }
    if hidden > 0 {
        parsed.notes.push(Note::HiddenAddresses { lines: hidden });
    }
    Ok(parsed)
}

/// Reads a text that may have bytes which are not UTF-8, as kernel logs do: they become replacement characters, and a
/// [`Note`] names each line that has some. A memory line with such bytes in it is malformed.
///
/// ```
/// use sparsemem_log_reader::{Mode, Note, parse_bytes};
///
/// let log = b"usb 1-1: Product: \xff\nBIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable\n";
/// let parsed = parse_bytes(log, Mode::Strict)?;
/// assert_eq!(parsed.notes, [Note::InvalidUtf8 { line: 1 }]);
/// # Ok::<(), sparsemem_log_reader::ParseErrors>(())
/// ```
///
/// # Errors
///
/// As [`parse`].
pub fn parse_bytes(bytes: &[u8], mode: Mode) -> Result<Parsed, ParseErrors> {
    let mut parsed = parse(&String::from_utf8_lossy(bytes), mode)?;
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let broken = lines.filter(|(line, _)| std::str::from_utf8(line).is_err());
    parsed.notes.extend(broken.map(|(_, line)| Note::InvalidUtf8 { line }));
    Ok(parsed)
}

/// The error for a text without a map.
fn nothing(hidden: usize, lines: usize, malformed: Vec<LineError>) -> ParseErrors {
    if hidden > 0 {
        return ParseErrors::HiddenAddresses { lines: hidden };
    }
    ParseErrors::NoMemoryInformation { lines, malformed }
}

/// The result for the boot that counts; `None` if it has no table.
fn of_boot(boot: Boot, warnings: Vec<LineError>) -> Option<Parsed> {
    let table = boot.chosen()?;
    let (notation, edits) = (table.notation, boot.edits_of(table));
    let layout = resolve::layout(&boot, table, &edits);
    let notes = boot.notes().collect();
    Some(Parsed { layout, notation, tables: boot.tables, edits, warnings, notes })
}

/// Everything that a text says, before one boot and one table are chosen.
#[derive(Default)]
struct Scan {
    boots: Vec<Boot>,
    errors: Vec<LineError>,
    lines: usize,
    in_bare_ranges: bool,
}

impl Scan {
    /// Reads a text.
    fn new(text: &str) -> Self {
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
