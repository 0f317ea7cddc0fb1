//! Listings of the boot allocator: its dump in the log, and its files in debugfs.
//!
//! # Invariants
//!
//! 1. Only the listing of memory is memory. That of reservations looks the same in debugfs; the heading or the command
//!    above it tells them apart, otherwise the numbering that begins anew ([`crate::boot`]).

use sparsemem_core::NodeId;

use crate::addresses::{self, decimal, decimal32};
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `memory[0x0] [0x..-0x..]`, or the boot allocator's listing in debugfs.
    pub const MEMBLOCK: Self = Self::other("memblock");
}

/// The listings of the boot allocator.
pub(super) const SOURCE: Source =
    Source { notations: &[Notation::MEMBLOCK], readers: &[heading, dumped, listed] };

/// Reads `MEMBLOCK configuration:` and what names a file of debugfs: `==> ../memblock/reserved <==`, `cat
/// /sys/kernel/debug/memblock/memory`.
fn heading(line: &Line<'_>) -> Answer {
    if line.message == "MEMBLOCK configuration:" {
        return Some(Ok(Statement::TableStart));
    }
    let (_, file) = line.message.rsplit_once("memblock/")?;
    let name = file.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    match name {
        "memory" => Some(Ok(Statement::TableStart)),
        "reserved" | "physmem" => Some(Ok(Statement::OtherListing)),
        _ => None,
    }
}

/// Reads `memory[0x0] [0x..-0x..], 0x.. bytes on node 0 flags: 0x0`, and `memory[0] ..` of U-Boot.
fn dumped(line: &Line<'_>) -> Answer {
    let text =
        line.message.strip_prefix("memory[").filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(dumped_entry(text).map(|entry| Statement::Entry(Notation::MEMBLOCK, entry)))
}

/// `0] [0x..-0x..], 0x.. bytes on node 0 flags: 0x0`.
fn dumped_entry(text: &str) -> Result<MapEntry, Reason> {
    let (_, text) = text.split_once('[').ok_or(Reason::NoRange)?;
    let (range, text) = text.split_once(']').ok_or(Reason::NoRange)?;
    let sized = || {
        let (start, end) = addresses::pair(range, "-").ok()?;
        let bytes = addresses::hex(text.strip_prefix(", ")?.split_once(" bytes")?.0).ok()?;
        (end.checked_sub(start)?.checked_add(1)? == bytes).then_some((start, end))
    };
    // The loader prints both ends with the digits that they need, and the size tells that none was lost.
    let (start, end) = addresses::even_pair(range, "-").or_else(|torn| sized().ok_or(torn))?;
    let node = text.split_once(" on node ").and_then(|(_, node)| node.split_whitespace().next());
    let node = node.map(decimal32).transpose()?.map(NodeId::new);
    Ok(MapEntry::new(addresses::inclusive(start, end)?, RangeKind::Ram, node))
}

/// Reads `0: 0x0000000000001000..0x000000000009efff    0 NONE`.
fn listed(line: &Line<'_>) -> Answer {
    let (_, words) = listed_words(line.message)?;
    let mut words = words.split_whitespace();
    let range = words.next().filter(|word| word.starts_with("0x") && word.contains(".."))?;
    let node = words.next().and_then(|word| decimal32(word).ok()).map(NodeId::new);
    let range = addresses::even_pair(range, "..").and_then(|(start, end)| addresses::inclusive(start, end));
    Some(range.map(|range| Statement::Entry(Notation::MEMBLOCK, MapEntry::new(range, RangeKind::Ram, node))))
}

/// The number of a row in debugfs, and the text after it.
fn listed_words(message: &str) -> Option<(u64, &str)> {
    let (index, text) = message.split_once(':')?;
    Some((decimal(index).ok()?, text))
}

/// The number that a row of either listing has.
pub(crate) fn row_number(message: &str) -> Option<u64> {
    match message.strip_prefix("memory[") {
        Some(text) => {
            let number = text.split_once(']')?.0;
            if number.starts_with("0x") { addresses::hex(number).ok() } else { decimal(number).ok() }
        }
        None => listed_words(message).map(|(number, _)| number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: Answer) -> Result<MapEntry, Reason> {
        match answer.expect("a memory line")? {
            Statement::Entry(_, entry) => Ok(entry),
            _ => panic!("no entry"),
        }
    }

    fn ram(start: u64, end: u64, node: Option<u32>) -> Result<MapEntry, Reason> {
        Ok(MapEntry::new(addresses::between(start, end), RangeKind::Ram, node.map(NodeId::new)))
    }

    #[test]
    fn listings_of_the_allocator() {
        let text = " memory[0x1]\t[0x00100000-0x1fffffff], 0x1ff00000 bytes on node 1 flags: 0x0";
        assert_eq!(read(dumped(&Line::new(text))), ram(0x10_0000, 0x2000_0000, Some(1)));
        assert_eq!(row_number(Line::new(text).message), Some(1));
        let of_loader = " memory[10]\t[0x00100000-0x1fffffff], 0x1ff00000 bytes flags: 0";
        assert_eq!(read(dumped(&Line::new(of_loader))), ram(0x10_0000, 0x2000_0000, None));
        assert_eq!(row_number(Line::new(of_loader).message), Some(10));
        let uneven = " memory[0]\t[0x40000000-0x13fffffff], 0x100000000 bytes flags: 0";
        assert_eq!(read(dumped(&Line::new(uneven))), ram(0x4000_0000, 0x1_4000_0000, None));
        assert!(read(dumped(&Line::new(&uneven.replace("fffffff", "ffffff")))).is_err());
        let text = "   0: 0x0000000000001000..0x000000000009efff    x NONE";
        assert_eq!(read(listed(&Line::new(text))), ram(0x1000, 0x9_f000, None));
        let torn = "   0: 0x0000000000001000..0x00000000000";
        assert_eq!(read(listed(&Line::new(torn))), Err(Reason::Lengths { digits: "0x00000000000".into() }));
        assert!(dumped(&Line::new(" memory.cnt  = 0x3")).is_none());
    }

    #[test]
    fn headings_tell_memory_from_reservations() {
        let is_memory = |text: &str| match heading(&Line::new(text)) {
            Some(Ok(Statement::TableStart)) => Some(true),
            Some(Ok(Statement::OtherListing)) => Some(false),
            _ => None,
        };
        assert_eq!(is_memory("==> /sys/kernel/debug/memblock/memory <=="), Some(true));
        assert_eq!(is_memory("# cat /sys/kernel/debug/memblock/memory"), Some(true));
        assert_eq!(is_memory("==> /sys/kernel/debug/memblock/reserved <=="), Some(false));
        assert_eq!(is_memory("memblock/other"), None);
    }
}
