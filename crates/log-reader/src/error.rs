//! The errors: reasons why the reader cannot read a text, or a line of it.
//!
//! # Invariants
//!
//! 1. Every error names its line (counted from 1), the text of the line, and the reason.

/// The reason why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The line has no address range where one has to be.
    #[error("no address range")]
    NoRange,
    /// A number is missing.
    #[error("a number is missing")]
    NoNumber,
    /// A number has characters that are not digits.
    #[error("`{digits}` is not a number")]
    BadNumber {
        /// The text in its place.
        digits: String,
    },
    /// An address needs more than 64 bits, or the number of a node more than 32.
    #[error("`{digits}` is too large")]
    NumberTooLarge {
        /// The number as written.
        digits: String,
    },
    /// A range ends before it starts.
    #[error("range starts at {start:#x} and ends before it, at {end:#x}")]
    Reversed {
        /// First number of the range.
        start: u64,
        /// Second number of the range.
        end: u64,
    },
    /// A range goes beyond 64-bit addresses.
    #[error("{count:#x} units from {start:#x} go beyond 64-bit addresses")]
    Overflow {
        /// The start of the range.
        start: u64,
        /// The bytes, frames or blocks that it should have.
        count: u64,
    },
    /// A memory type that the notation does not have.
    #[error("unknown memory type `{name}`")]
    UnknownType {
        /// The type as written.
        name: String,
    },
    /// No memory type where one has to be.
    #[error("no memory type")]
    NoType,
    /// The number of the node is missing.
    #[error("no node number")]
    NoNode,
    /// Text after the end of the part of the line that is known.
    #[error("unexpected `{text}` at the end")]
    Trailing {
        /// The text.
        text: String,
    },
    /// A row of `lsmem` does not say whether its memory is online.
    #[error("the row does not say whether the memory is online: list it with the column STATE")]
    NoState,
    /// A bracket is open at the end of the line.
    #[error("the line breaks off inside of brackets")]
    Unclosed,
    /// Two numbers of a range have different lengths, where kernels print both with all their digits.
    #[error("`{digits}` has lost digits: kernels print both ends of such a range with equally many")]
    Lengths {
        /// The shorter number.
        digits: String,
    },
    /// A row has more or fewer cells than its heading has columns.
    #[error("the row has {found} cells, and its heading has {expected}")]
    Cells {
        /// Columns of the heading.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// A row lies partly inside the row above it and partly outside, which no listing of the kernel has.
    #[error(
        "the range overlaps the one of line {line} without lying in it: rows are missing, or their order changed"
    )]
    Overlap {
        /// The other line.
        line: usize,
    },
    /// A row begins below the row above it, and a listing is sorted.
    #[error("the range begins below that of line {line}, and listings are sorted: their order changed")]
    Order {
        /// The line of the row above it.
        line: usize,
    },
    /// A row is a part of another one that is not there.
    #[error("the range is part of another one, and not of that of line {line}: a row is missing")]
    Orphan {
        /// The line of the row in its place.
        line: usize,
    },
    /// A node has more memory than its blocks.
    #[error("the node has {kibibytes} kB, and its blocks have less: numbers of blocks are missing")]
    FewBlocks {
        /// The memory of the node.
        kibibytes: u64,
    },
    /// A row of a table behind words that no kernel prints there.
    #[error("it stands in a table and looks like a row of it, but its first word is not that of the table")]
    StrayRow,
    /// A line that breaks off where the rows around it go on.
    #[error("it breaks off inside of what the rows around it have: a row was cut, or a line was wrapped")]
    TornRow,
    /// The text lists memory blocks, and no line says how large a block is.
    #[error("the size of a memory block is not given")]
    NoBlockSize,
    /// The size of a memory block is zero or does not fit 64 bits.
    #[error("`{text}` is not the size of a memory block")]
    BadBlockSize {
        /// The size as written.
        text: String,
    },
}

/// A memory line that the reader cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: `{text}`")]
pub struct LineError {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// The line, shortened.
    pub text: String,
    /// The reason.
    pub reason: Reason,
}

/// Longest part of an offending line that an error repeats, in characters.
const SHOWN_CHARS: usize = 96;

impl LineError {
    /// The error for the line of that number.
    pub(crate) fn new(line: usize, text: &str, reason: Reason) -> Self {
        Self { line, text: shortened(text), reason }
    }
}

/// The first [`SHOWN_CHARS`] characters of `text`, or fewer, without the white space around it.
pub(crate) fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}..", &text[..cut]),
        None => text.to_owned(),
    }
}

/// The reason why a text gives no layout.
///
/// ```
/// use sparsemem_log_reader::{Mode, ParseErrors, Reason, parse};
///
/// let broken = "BIOS-e820: [mem 0x0000000000100000-0x00000000zzffffff] usable\n";
/// let Err(ParseErrors::Malformed(lines)) = parse(broken, Mode::Strict) else { panic!("it was read") };
/// assert_eq!((lines[0].line, &lines[0].reason), (1, &Reason::BadNumber { digits: "0x00000000zzffffff".into() }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrors {
    /// Memory lines that the reader cannot read: all of them, in order.
    #[error("{} malformed memory line(s): {}", .0.len(), listed(.0))]
    Malformed(Vec<LineError>),
    /// An iomem listing in which every address is zero.
    #[error(
        "all {lines} addresses of the iomem listing are zero, as the kernel shows them to users without privilege: \
         read /proc/iomem as root"
    )]
    HiddenAddresses {
        /// The number of lines of the listing.
        lines: usize,
    },
    /// The text has no line that says where memory is.
    #[error(
        "no memory information in {lines} line(s){}; the reader understands kernel logs (e820, e801, EFI, SRAT, early \
         node ranges, memblock), Xen logs, /proc/iomem, lsmem, lists of memory blocks; where a kernel logs no map, \
         `sudo cat /proc/iomem` on the machine has one",
        also(.malformed)
    )]
    NoMemoryInformation {
        /// The number of lines of the text.
        lines: usize,
        /// Memory lines that the reader cannot read, if they are the reason.
        malformed: Vec<LineError>,
    },
}

/// The errors one after the other, for a message.
fn listed(errors: &[LineError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The malformed lines as an addition to another message.
fn also(errors: &[LineError]) -> String {
    if errors.is_empty() { String::new() } else { format!(" that can be read ({})", listed(errors)) }
}

impl ParseErrors {
    /// The malformed lines, if they are the reason.
    #[must_use]
    pub fn lines(&self) -> &[LineError] {
        match self {
            Self::Malformed(lines) | Self::NoMemoryInformation { malformed: lines, .. } => lines,
            Self::HiddenAddresses { .. } => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_shortened_at_a_character() {
        assert_eq!(shortened("  short "), "short");
        let long = "ä".repeat(200);
        assert_eq!(shortened(&long), format!("{}..", "ä".repeat(SHOWN_CHARS)));
    }

    #[test]
    fn an_error_names_line_reason_and_text() {
        let error = LineError::new(7, " BIOS-e820: x", Reason::NoRange);
        assert_eq!(error.to_string(), "line 7: no address range: `BIOS-e820: x`");
    }
}
