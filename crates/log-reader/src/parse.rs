//! Reads a text and gives the layout of the boot that counts.
//!
//! # Invariants
//!
//! 1. The last boot that has a map counts. A text without one is an error.
//! 2. A line that a notation knows and cannot read fails the text, or is a warning and a contradiction in lenient mode.

use crate::boot::Boot;
use crate::check;
use crate::frames::FrameSize;
use crate::scan::Scan;
use crate::{LineError, Mode, Note, ParseErrors, Parsed, resolve, text};

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
    let Some(mut boot) = boots.pop() else {
        return Err(nothing(hidden, lines, errors));
    };
    let before =
        boots.first().filter(|_| boots.len() == 1).and_then(|earlier| boot.rows_before_header(earlier));
    boot.gaps.extend(before);
    let mut parsed = of_boot(boot, errors).ok_or_else(|| nothing(hidden, lines, Vec::new()))?;
    if !boots.is_empty() {
        parsed.notes.push(Note::EarlierBoots { count: boots.len() });
    }
    if hidden > 0 {
        parsed.notes.push(Note::HiddenAddresses { lines: hidden });
    }
    Ok(parsed)
}

/// Reads a text of any encoding: UTF-16 as a redirect of PowerShell writes it, or UTF-8. Bytes that are none, as kernel
/// logs have them, become replacement characters, and a [`Note`] names each line that has some. A memory line with such
/// bytes in it is malformed.
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
    let (text, broken) = text::decoded(bytes);
    let mut parsed = parse(&text, mode)?;
    parsed.notes.extend(broken.into_iter().map(|line| Note::InvalidUtf8 { line }));
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
fn of_boot(mut boot: Boot, warnings: Vec<LineError>) -> Option<Parsed> {
    let table = &boot.chosen()?.clone();
    let (notation, edits) = (table.notation, boot.edits_of(table));
    let mut layout = resolve::layout(&boot, table, &edits);
    if boot.frame_bytes.is_none() && !notation.is_edited_by_linux() {
        let ram: Vec<_> = layout.memory_ranges().collect();
        boot.frame_bytes = FrameSize::of_totals(&boot.totals(), &ram);
        layout = resolve::layout(&boot, table, &edits);
    }
    let notes = boot.notes().collect();
    let (contradictions, agreements) = check::of(&boot, table, &layout, &warnings);
    let Boot { tables, processor, frame_bytes, .. } = boot;
    Some(Parsed {
        layout,
        notation,
        tables,
        edits,
        warnings,
        contradictions,
        agreements,
        processor,
        frame_bytes,
        notes,
    })
}
