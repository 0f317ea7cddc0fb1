//! Why a text, or a line of it, could not be read.
//!
//! # Invariants
//!
//! 1. Every error names its line (counted from 1), what stood there, and the reason.

/// Why one line could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is no address range where one has to be.
    #[error("no address range")]
    NoRange,
    /// A number is missing.
    #[error("a number is missing")]
    NoNumber,
    /// A number has characters that are no digits.
    #[error("`{digits}` is not a number")]
    BadNumber {
        /// What stands in its place.
        digits: String,
    },
    /// A number needs more than 64 bits.
    #[error("`{digits}` needs more than 64 bits")]
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
        /// Where the range starts.
        start: u64,
        /// How many bytes, frames or blocks it should have.
        count: u64,
    },
    /// A memory type without meaning.
    #[error("unknown memory type `{name}`")]
    UnknownType {
        /// The type as written.
        name: String,
    },
    /// No memory type where one has to be.
    #[error("no memory type")]
    NoType,
    /// The node number is missing or larger than 32 bits.
    #[error("no node number")]
    NoNode,
    /// Text after the end of what the line has to hold.
    #[error("unexpected `{text}` at the end")]
    Trailing {
        /// The text.
        text: String,
    },
    /// Memory blocks are listed and no line says how large a block is.
    #[error("the size of a memory block is not given")]
    NoBlockSize,
    /// The size of a memory block is zero or does not fit 64 bits.
    #[error("`{text}` is not the size of a memory block")]
    BadBlockSize {
        /// The size as written.
        text: String,
    },
}

/// A memory line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: `{text}`")]
pub struct LineError {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// The line, shortened.
    pub text: String,
    /// What is wrong with it.
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

/// At most [`SHOWN_CHARS`] characters of `text`, without the white space around it.
pub(crate) fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}..", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Why a text gives no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrors {
    /// Memory lines that could not be read: all of them, in order.
    #[error("{} malformed memory line(s): {}", .0.len(), listed(.0))]
    Malformed(Vec<LineError>),
    /// An iomem listing in which every address is zero.
    #[error(
        "all {lines} addresses of the iomem listing are zero, as the kernel shows them to users without privilege: \
         read /proc/iomem as root"
    )]
    HiddenAddresses {
        /// How many lines the listing has.
        lines: usize,
    },
    /// Not one line that says where memory is.
    #[error(
        "no memory information in {lines} line(s){}; understood are kernel logs (e820, e801, EFI, SRAT, early node \
         ranges, memblock), Xen logs, /proc/iomem, and lists of memory blocks",
        also(.malformed)
    )]
    NoMemoryInformation {
        /// How many lines the text has.
        lines: usize,
        /// Memory lines that could not be read, if that is why.
        malformed: Vec<LineError>,
    },
}

/// The errors behind each other, for a message.
fn listed(errors: &[LineError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The malformed lines as an addition to another message.
fn also(errors: &[LineError]) -> String {
    if errors.is_empty() { String::new() } else { format!(" that can be read ({})", listed(errors)) }
}

impl ParseErrors {
    /// The malformed lines, if that is what went wrong.
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
