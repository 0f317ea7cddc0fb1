//! `/proc/iomem`: nested address ranges.
//!
//! # Invariants
//!
//! 1. Rows that overlap nest, so a row lies in the last row above it that holds its range. Indentation says the same, and
//!    only `listings.rs` uses it: people paste listings without it. A deeper row refines the row that holds it: memory kinds win over the rows that contain them, and a row without a kind
//!    of its own (a driver, a namespace) has that of its parent.
//! 2. A row inside System RAM (kernel code, boot reservations) is RAM.
//! 3. A CXL window is a window; a region or dax device in it is memory held back for a driver.
//! 4. Addresses have at least 8 digits in the kernel's listing. Rows with fewer count only if their name is one of the
//!    memory names, so that the listing of I/O ports and other `a-b : c` lines are not taken for memory.

use sparsemem_core::PhysRange;

use crate::line::{Line, without_suffix};
use crate::statement::{Answer, IomemRow, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason, addresses};

impl Notation {
    /// `/proc/iomem`.
    pub const IOMEM: Self = Self::other("iomem");
}

/// The listing.
pub(super) const SOURCE: Source = Source { notations: &[Notation::IOMEM], readers: &[row] };

/// Reads a row, behind anything that a logger or `grep` put before it.
fn row(line: &Line<'_>) -> Answer {
    let mut rest = line.raw.trim_end();
    while let Some((before, name)) = rest.rsplit_once(':') {
        // The name may have colons too: `PCI Bus 0000:00`.
        if let Some(range) = range_at_end(before) {
            let name = line.raw.trim_end().get(before.len() + 1..).unwrap_or(name);
            return row_of(range, name, before_range(before, range.0));
        }
        rest = before;
    }
    None
}

/// The text before the range that a text ends with.
fn before_range<'a>(text: &'a str, first: &str) -> &'a str {
    let dash = text.rfind('-').and_then(|at| text.get(..at));
    dash.and_then(|text| text.rfind(first).and_then(|at| text.get(..at))).unwrap_or_default()
}

/// The row of a range, a name and what stands before them.
fn row_of((start, end): (&str, &str), name: &str, before: &str) -> Answer {
    let spaced = name.starts_with(char::is_whitespace);
    let name = without_suffix(name);
    let sure = own_kind(name).is_some_and(|kind| kind != RangeKind::HotplugWindow);
    let long = |word: &str| word.len() >= 8;
    if !(sure || spaced && long(start) && long(end)) {
        return None;
    }
    let range = addresses::hex(start).and_then(|start| Ok((start, addresses::hex(end)?)));
    if is_torn(name) {
        return Some(Ok(Statement::DoubtfulRow(Reason::TornRow)));
    }
    let row = range.and_then(|(start, end)| {
        let zero = start == 0 && end == 0;
        Ok(IomemRow {
            range: addresses::inclusive(start, end)?,
            name: name.to_owned(),
            prefix: before.to_owned(),
            zero,
        })
    });
    Some(match row {
        Ok(row) => Ok(Statement::Row(row)),
        Err(reason) if sure => Err(reason),
        Err(reason) => Ok(Statement::DoubtfulRow(reason)),
    })
}

/// The two words of the range `A-B` at the end of a text, if it ends with one.
fn range_at_end(text: &str) -> Option<(&str, &str)> {
    let (text, end) = last_word(text)?;
    let (text, start) = last_word(text.trim_end().strip_suffix('-')?)?;
    let is_begun = text.ends_with(|c: char| c.is_whitespace() || ":|>\"'`])#;,=+-".contains(c));
    (text.is_empty() || is_begun).then_some((start, end))
}

/// The letters and digits at the end of a text, and the text before them.
fn last_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_end();
    let start = text.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    let (before, word) = (text.get(..start)?, text.get(start..)?);
    (!word.is_empty()).then_some((before, word))
}

/// True if the listing shows no addresses.
pub(crate) fn is_hidden(rows: &[IomemRow]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| row.zero)
}

/// The kind that a name stands for, if it is one of memory.
fn own_kind(name: &str) -> Option<RangeKind> {
    match name.trim() {
        // The same memory at another address: only one of the two is used.
        "System RAM (boot alias)" => Some(RangeKind::Device),
        "System RAM" | "System RAM (kmem)" | "System RAM (virtio_mem)" => Some(RangeKind::Ram),
        "Persistent Memory" | "Persistent Memory (legacy)" => Some(RangeKind::Persistent),
        "Soft Reserved" => Some(RangeKind::SoftReserved),
        "Reserved" | "reserved" | "RAM buffer" => Some(RangeKind::Reserved),
        "ACPI Tables" => Some(RangeKind::AcpiTables),
        "ACPI Non-volatile Storage" => Some(RangeKind::AcpiNvs),
        "Unusable memory" => Some(RangeKind::Unusable),
        "Unknown E820 type" => Some(RangeKind::Other),
        name if name.starts_with("System RAM (") => Some(RangeKind::Ram),
        name if name.starts_with("CXL Window ") => Some(RangeKind::HotplugWindow),
        _ => None,
    }
}

/// Names of memory that end with no parenthesis.
const NAMES: [&str; 9] = [
    "System RAM",
    "Persistent Memory",
    "Soft Reserved",
    "Reserved",
    "RAM buffer",
    "ACPI Tables",
    "ACPI Non-volatile Storage",
    "Unusable memory",
    "Unknown E820 type",
];

/// True if a name is that of memory, cut off. No driver has such a name.
fn is_torn(name: &str) -> bool {
    let is_part = |whole: &&str| whole.len() > name.len() && whole.starts_with(name) && *name != *"reserved";
    NAMES.iter().any(is_part) || name.starts_with("System RAM (") && !name.ends_with(')')
}

/// True if a driver made a region or a device of this part of a CXL window.
fn fills_window(name: &str) -> bool {
    name.starts_with("region") || name.starts_with("dax")
}

/// The kind of a row under a parent of that kind.
fn kind_under(parent: Option<RangeKind>, name: &str) -> RangeKind {
    match (parent, own_kind(name)) {
        (Some(RangeKind::Ram), _) => RangeKind::Ram,
        (Some(RangeKind::HotplugWindow), None) if fills_window(name) => RangeKind::SoftReserved,
        (Some(parent), None) => parent,
        (Some(RangeKind::Device) | None, Some(own)) => own,
        (Some(parent), Some(RangeKind::HotplugWindow)) => parent,
        (Some(_), Some(own)) => own,
        (None, None) => RangeKind::Device,
    }
}

/// The disjoint ranges that follow from the nesting: where rows of different kinds overlap, the deepest decides.
pub(crate) fn flattened(rows: &[IomemRow]) -> Vec<MapEntry> {
    let mut open: Vec<(PhysRange, RangeKind)> = Vec::new();
    let mut paints = Vec::with_capacity(rows.len());
    for row in rows {
        while open.last().is_some_and(|(range, _)| !range.contains_range(row.range)) {
            open.pop();
        }
        let parent = open.last().map(|(_, kind)| *kind);
        let kind = kind_under(parent, &row.name);
        if parent != Some(kind) {
            paints.push((row.range, (open.len(), kind)));
        }
        open.push((row.range, kind));
    }
    let pieces = crate::sweep::greatest(&paints);
    pieces.into_iter().map(|(range, (_, kind))| MapEntry::new(range, kind, None)).collect()
}

/// True if a listing has RAM.
pub(crate) fn has_ram(rows: &[IomemRow]) -> bool {
    rows.iter().any(|row| own_kind(&row.name) == Some(RangeKind::Ram))
}

/// True if a name is one of memory.
pub(crate) fn is_memory(name: &str) -> bool {
    own_kind(name).is_some()
}

/// True if a row of a listing is of memory.
pub(crate) fn has_memory(rows: &[IomemRow]) -> bool {
    rows.iter().any(|row| is_memory(&row.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(u64, u64, RangeKind)> {
        let rows: Vec<_> = text
            .lines()
            .map(|line| match row(&Line::new(line)) {
                Some(Ok(Statement::Row(row))) => row,
                _ => panic!("{line}"),
            })
            .collect();
        let of = |entry: MapEntry| (entry.range.start().get(), entry.range.end().get(), entry.kind);
        flattened(&rows).into_iter().map(of).collect()
    }

    #[test]
    fn what_lies_inside_ram_is_ram() {
        let text = "\
00100000-1fffffff : System RAM
  01000000-01ffffff : Kernel code
  02000000-02000fff : reserved";
        assert_eq!(kinds(text).iter().filter(|(.., kind)| *kind != RangeKind::Ram).count(), 0);
    }

    #[test]
    fn dax_devices_become_ram_only_where_the_kernel_took_them() {
        let text = "\
240000000-33fdfffff : Persistent Memory
  240000000-2403fffff : namespace0.0
  280000000-2bfffffff : dax0.0
    280000000-2bfffffff : System RAM (kmem)";
        let ram: Vec<_> = kinds(text).into_iter().filter(|(.., kind)| *kind == RangeKind::Ram).collect();
        assert_eq!(ram, [(0x2_8000_0000, 0x2_c000_0000, RangeKind::Ram)]);
    }

    #[test]
    fn a_window_is_empty_where_no_region_is_and_hides_nothing() {
        let text = "\
2070000000-606fffffff : Soft Reserved
  2070000000-606fffffff : CXL Window 0
6070000000-a06fffffff : CXL Window 1
  6070000000-806fffffff : region1";
        let expected = [
            (0x20_7000_0000, 0x60_7000_0000, RangeKind::SoftReserved),
            (0x60_7000_0000, 0x80_7000_0000, RangeKind::SoftReserved),
            (0x80_7000_0000, 0xa0_7000_0000, RangeKind::HotplugWindow),
        ];
        let pieces: Vec<_> = kinds(text);
        let bytes = |kind| pieces.iter().filter(|p| p.2 == kind).map(|p| p.1 - p.0).sum::<u64>();
        for kind in [RangeKind::SoftReserved, RangeKind::HotplugWindow] {
            assert_eq!(bytes(kind), expected.iter().filter(|p| p.2 == kind).map(|p| p.1 - p.0).sum::<u64>());
        }
    }

    #[test]
    fn lines_of_other_lists_are_no_rows() {
        for text in ["0000-001f : dma1", "sda-1 : mounted", "no colon", "eth0 : up"] {
            assert!(row(&Line::new(text)).is_none(), "{text}");
        }
        for torn in ["S", "System R", "Persist", "System RAM (boot"] {
            let read = row(&Line::new(&format!("00100000-001fffff : {torn}")));
            assert!(matches!(read, Some(Ok(Statement::DoubtfulRow(Reason::TornRow)))), "{torn}");
        }
        assert!(matches!(row(&Line::new("001g0000-001fffff : System RAM")), Some(Err(_))));
        assert!(matches!(row(&Line::new("001g0000-001fffff : e1000")), Some(Ok(Statement::DoubtfulRow(_)))));
    }
}
