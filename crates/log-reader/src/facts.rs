//! Figures that a log says about the map, besides the map itself.
//!
//! # Invariants
//!
//! 1. A line that is no figure in a known form is passed over: no map follows from it, so nothing is lost but a check.

use sparsemem_core::{NodeId, PhysRange};

use crate::addresses::{self, decimal, decimal32, hex};
use crate::frames::FrameRange;

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// `On node 0 totalpages: 5`.
    TotalPages(NodeId, u64),
    /// `last_pfn = 0x280000`: the first frame above RAM.
    LastFrame(u64),
    /// A zone with addresses, or in frames.
    Zone(ZoneRange),
    /// `Initmem setup node 0 [mem ..]`.
    NodeSpan(NodeId, PhysRange),
    /// `early_node_map[5]`: the number of ranges below it.
    EarlyRows(usize),
    /// `BIOS-e820: [gap 0x..-0x..]`: addresses between two rows, which new kernels print.
    Gap(PhysRange),
    /// ` memory.cnt  = 0x3`: the number of rows of the boot allocator's dump.
    AllocatorRows(usize),
    /// `On node 0, zone DMA: 5 pages in unavailable ranges`: pages of present sections that are no memory.
    Unavailable(u64),
    /// `Memory: 1K/2K available (.., 3K absent, ..)`: the second size without the absent part, and whether a part is
    /// given.
    Available { kibibytes: u64, absent: bool },
    /// `Number of nodes 4`.
    Nodes(u64),
    /// `Total online memory: 15.8G`: bytes, and how many of them the print may have rounded away.
    Online { bytes: u64, rounding: u64 },
    /// `(XEN) System RAM: 32654MB (33438000kB)`.
    HypervisorRam(u64),
}

/// The range of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ZoneRange {
    Bytes(PhysRange),
    Frames(FrameRange),
}

/// The lines before that a figure needs to be understood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    in_zones: bool,
}

/// Every kind of line by itself.
const FORMS: [fn(&str) -> Option<Fact>; 11] = [
    total_pages,
    last_frame,
    node_span,
    early_rows,
    available,
    nodes,
    online,
    hypervisor_ram,
    allocator_rows,
    unavailable,
    gap,
];

impl Context {
    /// Reads a line.
    pub(crate) fn read(&mut self, message: &str) -> Option<Fact> {
        if matches!(message, "Zone ranges:" | "Zone PFN ranges:") {
            self.in_zones = true;
        } else if message.starts_with("Movable zone start") || message.starts_with("early_node_map[") {
            self.in_zones = false;
        }
        let zone = if self.in_zones { zone(message) } else { None };
        zone.or_else(|| FORMS.iter().find_map(|form| form(message)))
    }
}

fn zone(message: &str) -> Option<Fact> {
    const ZONES: [&str; 7] = ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device", "Low"];
    let (name, text) = message.split_once(char::is_whitespace)?;
    let text = text.trim_start();
    if !ZONES.contains(&name) {
        return None;
    }
    if text.starts_with("[mem") {
        return addresses::mem(text).ok().map(|(range, _)| Fact::Zone(ZoneRange::Bytes(range)));
    }
    FrameRange::read(text).ok().map(|range| Fact::Zone(ZoneRange::Frames(range)))
}

fn total_pages(message: &str) -> Option<Fact> {
    let (node, pages) = message.strip_prefix("On node ")?.split_once(" totalpages:")?;
    Some(Fact::TotalPages(NodeId::new(decimal32(node).ok()?), decimal(pages).ok()?))
}

fn last_frame(message: &str) -> Option<Fact> {
    let message = message.strip_prefix("e820: ").unwrap_or(message);
    let frame = message.strip_prefix("last_pfn = ")?.split_whitespace().next()?;
    hex(frame).ok().map(Fact::LastFrame)
}

fn node_span(message: &str) -> Option<Fact> {
    let (node, text) = message.strip_prefix("Initmem setup node ")?.split_once(' ')?;
    let (range, _) = addresses::mem(text).ok()?;
    Some(Fact::NodeSpan(NodeId::new(decimal32(node).ok()?), range)).filter(|_| range.count().get() > 1)
}

fn early_rows(message: &str) -> Option<Fact> {
    let (count, _) = message.strip_prefix("early_node_map[")?.split_once(']')?;
    usize::try_from(decimal(count).ok()?).ok().map(Fact::EarlyRows)
}

fn available(message: &str) -> Option<Fact> {
    let (sizes, details) = message.strip_prefix("Memory: ")?.split_once(" available")?;
    let size = |text: &str| decimal(text.trim().trim_end_matches(['k', 'K'])).ok();
    let total = size(sizes.split_once('/')?.1)?;
    let absent = details.split([',', '(']).find_map(|part| size(part.trim().strip_suffix(" absent")?));
    Some(Fact::Available { kibibytes: total.checked_sub(absent.unwrap_or(0))?, absent: absent.is_some() })
}

fn nodes(message: &str) -> Option<Fact> {
    decimal(message.strip_prefix("Number of nodes ")?).ok().map(Fact::Nodes)
}

fn online(message: &str) -> Option<Fact> {
    let text = message.strip_prefix("Total online memory")?.trim_start().strip_prefix(':')?.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit.trim().chars().next() {
        None | Some('B') => 0,
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => return None,
    };
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let unit: u64 = 1 << shift;
    let tenths = decimal(tenths).ok().filter(|tenths| *tenths < 10)?;
    let bytes = decimal(whole).ok()?.checked_mul(unit)?.checked_add(unit / 10 * tenths)?;
    Some(Fact::Online { bytes, rounding: if shift == 0 { 0 } else { unit / 10 } })
}

fn gap(message: &str) -> Option<Fact> {
    let (range, _) = message.split_once(": [gap ")?.1.split_once(']')?;
    let (start, end) = addresses::pair(range, "-").ok()?;
    addresses::inclusive(start, end).ok().map(Fact::Gap)
}

fn allocator_rows(message: &str) -> Option<Fact> {
    let count = hex(message.strip_prefix("memory.cnt")?.trim_start().strip_prefix('=')?).ok()?;
    usize::try_from(count).ok().map(Fact::AllocatorRows)
}

fn unavailable(message: &str) -> Option<Fact> {
    let text = message.strip_prefix("On node ")?.strip_suffix(" pages in unavailable ranges")?;
    decimal(text.rsplit_once(':')?.1).ok().map(Fact::Unavailable)
}

fn hypervisor_ram(message: &str) -> Option<Fact> {
    let (_, text) = message.strip_prefix("System RAM: ")?.split_once('(')?;
    decimal(text.split_once("kB")?.0).ok().map(Fact::HypervisorRam)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Vec<Fact> {
        let mut context = Context::default();
        lines.iter().filter_map(|line| context.read(line)).collect()
    }

    #[test]
    fn figures_of_all_decades_are_read() {
        assert_eq!(read(&["On node 1 totalpages: 12"]), [Fact::TotalPages(NodeId::new(1), 12)]);
        assert_eq!(read(&["last_pfn = 0x2880000 max_arch_pfn = 0x400000000"]), [Fact::LastFrame(0x288_0000)]);
        assert_eq!(read(&["early_node_map[5] active PFN ranges"]), [Fact::EarlyRows(5)]);
        assert_eq!(read(&["memory.cnt  = 0x3"]), [Fact::AllocatorRows(3)]);
        let unavailable = "On node 1, zone Normal: 6608 pages in unavailable ranges";
        assert_eq!(read(&[unavailable]), [Fact::Unavailable(6608)]);
        let available = |kibibytes, absent| [Fact::Available { kibibytes, absent }];
        assert_eq!(
            read(&["Memory: 3k/50k available (4k kernel code, 10k absent, 2k reserved)"]),
            available(40, true)
        );
        assert_eq!(read(&["Memory: 3K/50K available (4K kernel code)"]), available(50, false));
        assert_eq!(
            read(&["Total online memory:    15.8G"]),
            [Fact::Online { bytes: (15 << 30) + (1 << 30) / 10 * 8, rounding: (1 << 30) / 10 }]
        );
        assert_eq!(
            read(&["Total online memory : 2560 MB"]),
            [Fact::Online { bytes: 2560 << 20, rounding: (1 << 20) / 10 }]
        );
    }

    #[test]
    fn zones_count_below_their_header_only() {
        let zone = "DMA      [mem 0x1000-0xffffff]";
        assert!(read(&[zone]).is_empty());
        assert_eq!(read(&["Zone ranges:", zone, "Movable zone start for each node", zone]).len(), 1);
        assert_eq!(read(&["Zone PFN ranges:", "HighMem    131056 ->   131056"]).len(), 1);
    }
}
