//! `/proc/iomem`: address ranges nested by indentation.
//!
//! # Invariants
//!
//! 1. A deeper row refines the row above it: memory kinds win over the rows that contain them, and a row without a kind
//!    of its own (a driver, a namespace) has that of its parent.
//! 2. A row inside System RAM (kernel code, boot reservations) is RAM.
//! 3. A CXL window is a window; a region or dax device in it is memory held back for a driver.
//! 4. Addresses have at least 8 digits in the kernel's listing. Rows with fewer count only if their name is one of the
//!    memory names, so that the listing of I/O ports and other `a-b : c` lines are not taken for memory.

use crate::line::Line;
use crate::statement::{Answer, IomemRow, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, addresses};

impl Notation {
    /// `/proc/iomem`.
    pub const IOMEM: Self = Self::other("iomem");
}

/// The listing.
pub(super) const SOURCE: Source = Source { notations: &[Notation::IOMEM], readers: &[row] };

/// Reads a row.
fn row(line: &Line<'_>) -> Answer {
    let text = unquoted(line.raw.trim_end());
    let (range, name) = text.split_once(" : ")?;
    let (indent, range) = (range.len() - range.trim_start().len(), range.trim());
    let (start, end) = range.split_once('-')?;
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_word(start) || !is_word(end) {
        return None;
    }
    let sure = own_kind(name).is_some_and(|kind| kind != RangeKind::HotplugWindow);
    let long = |word: &str| word.len() >= 8;
    if !(sure || long(start) && long(end)) {
        return None;
    }
    let row = addresses::pair(range, "-").and_then(|(start, end)| {
        let zero = start == 0 && end == 0;
        Ok(IomemRow { indent, range: addresses::inclusive(start, end)?, name: name.to_owned(), zero })
    });
    Some(match row {
        Ok(row) => Ok(Statement::Row(row)),
        Err(reason) if sure => Err(reason),
        Err(reason) => Ok(Statement::DoubtfulRow(reason)),
    })
}

/// The row without mail quotes, its indentation kept.
fn unquoted(mut text: &str) -> &str {
    while let Some(rest) = text.strip_prefix('>') {
        text = rest.strip_prefix(' ').unwrap_or(rest);
    }
    text
}

/// True if the listing shows no addresses.
pub(crate) fn is_hidden(rows: &[IomemRow]) -> bool {
    rows.iter().all(|row| row.zero)
}

/// The kind that a name stands for, if it is one of memory.
fn own_kind(name: &str) -> Option<RangeKind> {
    match name.trim() {
        "System RAM" | "System RAM (kmem)" | "System RAM (boot alias)" | "System RAM (virtio_mem)" => {
            Some(RangeKind::Ram)
        }
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
    let mut open: Vec<(usize, RangeKind)> = Vec::new();
    let mut paints = Vec::with_capacity(rows.len());
    for row in rows {
        while open.last().is_some_and(|(indent, _)| *indent >= row.indent) {
            open.pop();
        }
        let parent = open.last().map(|(_, kind)| *kind);
        let kind = kind_under(parent, &row.name);
        if parent != Some(kind) {
            paints.push((row.range, (open.len(), kind)));
        }
        open.push((row.indent, kind));
    }
    let pieces = crate::sweep::greatest(&paints);
    pieces.into_iter().map(|(range, (_, kind))| MapEntry::new(range, kind, None)).collect()
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
        assert!(matches!(row(&Line::new("001g0000-001fffff : System RAM")), Some(Err(_))));
        assert!(matches!(row(&Line::new("001g0000-001fffff : e1000")), Some(Ok(Statement::DoubtfulRow(_)))));
    }
}
