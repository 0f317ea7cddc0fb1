//! Reads figures that are numbers.

use sparsemem_core::NodeId;

use super::Fact;
use crate::addresses::{decimal, decimal32, hex};

pub(super) fn of_node(message: &str) -> Option<Fact> {
    let (node, pages) = message.strip_prefix("On node ")?.split_once(" totalpages:")?;
    Some(Fact::TotalPages(NodeId::new(decimal32(node).ok()?), decimal(pages).ok()?))
}

pub(super) fn last_frame(message: &str) -> Option<Fact> {
    let message = message.strip_prefix("e820: ").unwrap_or(message);
    let frame = message.strip_prefix("last_pfn = ")?.split_whitespace().next()?;
    hex(frame).ok().map(Fact::LastFrame)
}

pub(super) fn early_rows(message: &str) -> Option<Fact> {
    let (count, _) = message.strip_prefix("early_node_map[")?.split_once(']')?;
    usize::try_from(decimal(count).ok()?).ok().map(Fact::EarlyRows)
}

/// `Memory: 1k/2k available (3k kernel code, 4k reserved, ..)`. Kernels since 3.10, which name their `rwdata`, count the pages
/// that they have; before, those of some processors (s390 and Alpha among them) counted up to the highest page, and those
/// of PCs named the absent part. ARM before 3.10 had `1k/1k available, 2k reserved`, free pages twice.
pub(super) fn available(message: &str) -> Option<Fact> {
    let (sizes, details) = message.strip_prefix("Memory: ")?.split_once(" available")?;
    let size = |text: &str| decimal(text.trim().trim_end_matches(['k', 'K'])).ok();
    let named = |name: &str| details.split([',', '(']).find_map(|part| size(part.trim().strip_suffix(name)?));
    let (free, total) = sizes.split_once('/').and_then(|(free, total)| Some((size(free)?, size(total)?)))?;
    if let (true, Some(reserved)) = (free == total && details.starts_with(','), named(" reserved")) {
        return Some(Fact::Available { kibibytes: total.checked_add(reserved)?, holes: false });
    }
    let absent = named(" absent");
    let holes = absent.is_none() && !details.contains("rwdata");
    Some(Fact::Available { kibibytes: total.checked_sub(absent.unwrap_or(0))?, holes })
}

/// `Memory: 64MB 64MB = 128MB total` of ARM before 3.10, one size for each bank.
pub(super) fn banks(message: &str) -> Option<Fact> {
    let (banks, total) = message.strip_prefix("Memory: ")?.strip_suffix("MB total")?.split_once(" = ")?;
    let mut count = 0;
    for bank in banks.split_whitespace() {
        decimal(bank.strip_suffix("MB")?).ok()?;
        count += 1;
    }
    Some(Fact::Banks { mebibytes: decimal(total).ok()?, count })
}

pub(super) fn nodes(message: &str) -> Option<Fact> {
    decimal(message.strip_prefix("Number of nodes ")?).ok().map(Fact::Nodes)
}

pub(super) fn online(message: &str) -> Option<Fact> {
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

pub(super) fn allocator_rows(message: &str) -> Option<Fact> {
    let count = hex(message.strip_prefix("memory.cnt")?.trim_start().strip_prefix('=')?).ok()?;
    usize::try_from(count).ok().map(Fact::AllocatorRows)
}

pub(super) fn unavailable(message: &str) -> Option<Fact> {
    let text = message.strip_prefix("On node ")?.strip_suffix(" pages in unavailable ranges")?;
    decimal(text.rsplit_once(':')?.1).ok().map(Fact::Unavailable)
}

pub(super) fn hypervisor_ram(message: &str) -> Option<Fact> {
    let (_, text) = message.strip_prefix("System RAM: ")?.split_once('(')?;
    decimal(text.split_once("kB")?.0).ok().map(Fact::HypervisorRam)
}

/// `3200MB HIGHMEM available.`
pub(super) fn high(message: &str) -> Option<Fact> {
    decimal(message.strip_suffix("MB HIGHMEM available.")?).ok().map(Fact::HighMib)
}

/// `896MB LOWMEM available.`
pub(super) fn low(message: &str) -> Option<Fact> {
    decimal(message.strip_suffix("MB LOWMEM available.")?).ok().map(Fact::LowMib)
}

/// `Top of RAM: 0x.., Total RAM: 0x..` of PowerPC and SPARC.
pub(super) fn top_and_total(message: &str) -> Option<Fact> {
    let (top, total) = message.strip_prefix("Top of RAM: ")?.split_once(", Total RAM: ")?;
    Some(Fact::TopAndTotal(hex(top).ok()?, hex(total).ok()?))
}

/// `Command line: .. mem=4G ..`: the first option that changes the map.
pub(super) fn command_line(message: &str) -> Option<Fact> {
    let options =
        message.strip_prefix("Command line: ").or_else(|| message.strip_prefix("Kernel command line: "))?;
    let changes = |option: &&str| {
        let size = option.strip_prefix("mem=").or_else(|| option.strip_prefix("memmap="));
        size.is_some_and(|size| size.starts_with(|c: char| c.is_ascii_digit()) || size == "exactmap")
    };
    options.split_whitespace().find(changes).map(|option| Fact::ChangesMap(option.to_owned()))
}
