//! The nodes of addresses: the ACPI affinity table, and the lines in which the kernel says how it understood the table.
//!
//! # Invariants
//!
//! 1. The affinity table says where memory is; the lines that a kernel made of it say from where to where a node
//!    reaches, holes included, so the reader never takes them for memory.
//! 2. Lines of old kernels have ranges without `[mem ..]`; some of these kernels included the end and some did not. An
//!    end of all ones in the low 12 bits counts as included.
//! 3. A kernel that rejects the affinity table says so; the lines before that give no address its node.

use sparsemem_core::NodeId;

use crate::addresses::{self, decimal32};
use crate::claims::{Claim, Class};
use crate::frames::FRAME_BYTES;
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{Notation, Reason};

impl Notation {
    /// `SRAT: Node 0 PXM 0 [mem ..]`, in a text that has no other map.
    pub const SRAT: Self = Self::other("srat");
}

/// The affinity table, and how the kernel understood it.
pub(super) const SOURCE: Source = Source {
    notations: &[Notation::SRAT],
    readers: &[affinity, rejection, merged, without_firmware, reach, of_sections, chunk, domain],
};

/// Reads `SRAT: Node 0 PXM 0 [mem ..] hotplug`.
fn affinity(line: &Line<'_>) -> Answer {
    let (_, text) = line.message.split_once("SRAT: Node ")?;
    let (node, text) = text.split_once(" PXM ")?;
    Some(affinity_claim(node, text).map(Statement::Claim))
}

/// The claim of a node and `0 [mem ..] hotplug`.
fn affinity_claim(node: &str, text: &str) -> Result<Claim, Reason> {
    let node = NodeId::new(decimal32(node)?);
    let (domain, text) = text.split_once(' ').ok_or(Reason::NoRange)?;
    decimal32(domain)?;
    let is_bracketed = text.trim_start().starts_with('[');
    let (range, flags) = if is_bracketed { addresses::of_table(text)? } else { bare(text)? };
    let class = class_of(flags)?;
    let class = if addresses::is_everything(range) { Class::Window } else { class };
    Ok(Claim::new(range, node, class))
}

/// The class that the words after the range ask for.
fn class_of(flags: &str) -> Result<Class, Reason> {
    flags.split_whitespace().try_fold(Class::Fixed, |class, flag| match (flag, class) {
        ("non-volatile" | "non-volatile)" | "(non-volatile)", _) | ("hotplug", Class::NonVolatile) => {
            Ok(Class::NonVolatile)
        }
        ("hotplug" | "(hotplug)", _) => Ok(Class::Window),
        _ => Err(Reason::Trailing { text: crate::error::shortened(flags) }),
    })
}

/// `0-a0000` or `0-9ffff`.
fn bare(text: &str) -> Result<(sparsemem_core::PhysRange, &str), Reason> {
    let text = text.trim_start();
    let cut = text.find(char::is_whitespace).unwrap_or(text.len());
    let (start, end) = addresses::pair(&text[..cut], "-")?;
    let range = if end & 0xfff == 0xfff { addresses::inclusive } else { addresses::up_to }(start, end)?;
    Ok((range, &text[cut..]))
}

/// Reads the lines in which a kernel rejects what the firmware says about nodes: ranges of two nodes overlap, too much
/// RAM has no node, or no node is left.
///
/// Source: Linux `numa_cleanup_meminfo`, `numa_meminfo_cover_memory` and its successor
/// `memblock_validate_numa_coverage`, `dummy_numa_init`.
fn rejection(line: &Line<'_>) -> Answer {
    let message = ["NUMA: ", "SRAT: "].into_iter().find_map(|tag| line.message.strip_prefix(tag));
    let message = message.unwrap_or(line.message);
    let starts = |words: &[&str]| words.iter().any(|word| message.starts_with(word));
    let rejects = starts(&["no nodes coverage for ", "No NUMA configuration found"])
        || starts(&["nodes only cover ", "PXMs only cover "]) && message.ends_with("Not used.")
        || starts(&["node ", "Node "]) && message.contains("] overlaps with node ");
    rejects.then_some(Ok(Statement::Rejected))
}

/// Reads `NUMA: Node 0 [mem a] + [mem b] -> [mem c]`; the last range counts, which covers the others and the
/// hole between them.
fn merged(line: &Line<'_>) -> Answer {
    let text = line.message.strip_prefix("NUMA: Node ")?;
    let (node, ranges) = text.split_once(" [")?;
    let last = ranges.rsplit("-> ").next().unwrap_or(ranges);
    let last = if last.starts_with('[') { last.to_owned() } else { format!("[{last}") };
    Some(merged_claim(node, &last).map(Statement::Claim))
}

/// The claim of a node and `[mem c]` or `[a,b)`.
fn merged_claim(node: &str, range: &str) -> Result<Claim, Reason> {
    let node = NodeId::new(decimal32(node)?);
    let range = match range.strip_prefix('[').and_then(|range| range.split_once(')')) {
        Some((inner, _)) => {
            addresses::pair(inner, ",").and_then(|(start, end)| addresses::up_to(start, end))?
        }
        None => addresses::mem(range)?.0,
    };
    Ok(Claim::new(range, node, Class::Hull))
}

/// Reads `Faking a node at [mem ..]` and `NUMA: Adding memblock [a - b] on node 1`.
fn without_firmware(line: &Line<'_>) -> Answer {
    let message = line.message.strip_prefix("NUMA: ").unwrap_or(line.message);
    if let Some(text) = message.strip_prefix("Faking a node at ") {
        return Some(reach_of("0", text).map(Statement::Faked));
    }
    if let Some((node, text)) = message.strip_prefix("Faking node ").and_then(|text| text.split_once(" at "))
    {
        let fixed = |claim| Statement::FakedOneOf(Claim { class: Class::Fixed, ..claim });
        return Some(reach_of(node, text).map(fixed));
    }
    let text = message.strip_prefix("Adding memblock [")?;
    Some(added(text).map(Statement::Claim))
}

/// Reads the lines that say from where to where a node reaches: `Bootmem setup node 0 a-b`, `Node 0 MemBase a Limit b`
/// of AMD's northbridges.
fn reach(line: &Line<'_>) -> Answer {
    let message = line.message;
    for words in ["Bootmem setup node ", "Setting up node "] {
        if let Some((node, range)) = message.strip_prefix(words).and_then(|text| text.split_once(' ')) {
            return Some(reach_of(node, range).map(Statement::Claim));
        }
    }
    let (node, range) = message.strip_prefix("Node ")?.split_once(" MemBase ")?;
    let (start, end) = range.split_once(" Limit ")?;
    Some(reach_of(node, &format!("{}-{}", start.trim(), end.trim())).map(Statement::Claim))
}

/// The reach of a node.
fn reach_of(node: &str, text: &str) -> Result<Claim, Reason> {
    let range = if text.starts_with("[mem") { addresses::mem(text)?.0 } else { bare(text)?.0 };
    Ok(Claim::new(range, NodeId::new(decimal32(node)?), Class::Hull))
}

/// Reads `Node 0 Memory: 0xA-0xB 0xC-0xD` of PowerPC, in whole sections.
fn of_sections(line: &Line<'_>) -> Answer {
    let (node, ranges) = line.message.strip_prefix("Node ")?.split_once(" Memory:")?;
    if !ranges.trim().is_empty() && !ranges.trim_start().starts_with("0x") {
        return None;
    }
    let claim = |range: &str| {
        let (start, end) = addresses::pair(range, "-")?;
        Ok(Claim::new(addresses::up_to(start, end)?, NodeId::new(decimal32(node)?), Class::Fixed))
    };
    Some(ranges.split_whitespace().map(claim).collect::<Result<_, _>>().map(Statement::Claims))
}

/// Reads `chunk 0 nid 0 start_pfn 00000000 end_pfn 000000a0`, and `Node: 0, start_pfn: 0, end_pfn: 983040` of kernels of 32
/// bits.
fn chunk(line: &Line<'_>) -> Answer {
    let message = line.message;
    if let Some((_, text)) = message.strip_prefix("chunk ").and_then(|text| text.split_once(" nid ")) {
        let claim = in_frames(text, " start_pfn ", " end_pfn ", addresses::hex);
        return Some(claim.map(|claim| Statement::Claim(Claim { class: Class::Fixed, ..claim })));
    }
    let text = message.strip_prefix("Node: ").filter(|text| text.contains(", start_pfn: "))?;
    Some(in_frames(text, ", start_pfn: ", ", end_pfn: ", addresses::decimal).map(Statement::Claim))
}

/// The reach of a node in frames of 4 KiB.
fn in_frames(
    text: &str,
    start: &str,
    end: &str,
    read: fn(&str) -> Result<u64, Reason>,
) -> Result<Claim, Reason> {
    let (node, range) = text.split_once(start).ok_or(Reason::NoRange)?;
    let (start, end) = range.split_once(end).ok_or(Reason::NoRange)?;
    frames(read(start)?, read(end)?, NodeId::new(decimal32(node)?))
}

/// The claim of a node to frames of 4 KiB.
fn frames(start: u64, end: u64, node: NodeId) -> Result<Claim, Reason> {
    let count = end.checked_sub(start).ok_or(Reason::Reversed { start, end })?;
    Ok(Claim::new(addresses::units(start, count, FRAME_BYTES)?, node, Class::Hull))
}

/// Reads `Memory range 0x100 to 0xf0000 (type 0x0) in proximity domain 0x00 enabled`, in frames. The domain stands for its
/// node; where the kernel says later which node it is, that line is as specific and has its own word.
fn domain(line: &Line<'_>) -> Answer {
    let text = line.message.strip_prefix("Memory range 0x")?;
    let (range, domain) = text.split_once(" in proximity domain ")?;
    Some(domain_claim(range, domain).map(Statement::DomainClaim))
}

/// `100 to 0xf0000 (type 0x0)` and `0x00 enabled`.
fn domain_claim(range: &str, domain: &str) -> Result<Claim, Reason> {
    let range = range.split_once(" (").map_or(range, |(range, _)| range);
    let (start, end) = addresses::pair(range, " to ")?;
    let (domain, flags) = domain.split_once(' ').unwrap_or((domain, ""));
    let domain = addresses::hex(domain)?;
    let node = u32::try_from(domain).map_err(|_| Reason::NoNode)?;
    let class = if flags.contains("removable") { Class::Window } else { Class::Fixed };
    Ok(Claim { class, ..frames(start, end, NodeId::new(node))? })
}

/// `a - b] on node 1`.
fn added(text: &str) -> Result<Claim, Reason> {
    let (range, node) = text.split_once("] on node ").ok_or(Reason::NoNode)?;
    let (start, end) = addresses::pair(range, "-")?;
    Ok(Claim::new(addresses::inclusive(start, end)?, NodeId::new(decimal32(node)?), Class::Fixed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(answer: Answer) -> Result<Claim, Reason> {
        match answer.expect("a memory line")? {
            Statement::Claim(claim) | Statement::Faked(claim) => Ok(claim),
            _ => panic!("no claim"),
        }
    }

    fn expected(start: u64, end: u64, node: u32, class: Class) -> Result<Claim, Reason> {
        Ok(Claim::new(addresses::between(start, end), NodeId::new(node), class))
    }

    #[test]
    fn flags_make_windows_and_persistent_ranges() {
        let read = |text: &str| claim(affinity(&Line::new(text)));
        assert_eq!(
            read("ACPI: SRAT: Node 1 PXM 3 [mem 0x1000-0x1fff]"),
            expected(0x1000, 0x2000, 1, Class::Fixed)
        );
        assert_eq!(read("SRAT: Node 0 PXM 0 [mem 0x0-0xfff] hotplug"), expected(0, 0x1000, 0, Class::Window));
        assert_eq!(
            read("ACPI: SRAT: Node 0 PXM 0 [mem 0x0-0xfff] hotplug non-volatile"),
            expected(0, 0x1000, 0, Class::NonVolatile)
        );
        assert!(read("SRAT: Node 0 PXM 0 [mem 0x0-0xfff] hot").is_err());
        assert!(read("SRAT: Node 99999999999 PXM 0 [mem 0x0-0xfff]").is_err());
    }

    #[test]
    fn kernels_of_32_bits_count_in_frames() {
        let read = |text: &str| claim(chunk(&Line::new(text)));
        assert_eq!(
            read("chunk 2 nid 1 start_pfn 00100000 end_pfn 00210000"),
            expected(0x1_0000_0000, 0x2_1000_0000, 1, Class::Fixed)
        );
        assert_eq!(
            read("Node: 1, start_pfn: 1048576, end_pfn: 2162688"),
            expected(0x1_0000_0000, 0x2_1000_0000, 1, Class::Hull)
        );
        let text = "Memory range 0x100000 to 0x210000 (type 0x0) in proximity domain 0x01 enabled";
        let Some(Ok(Statement::DomainClaim(claim))) = domain(&Line::new(text)) else { panic!("no claim") };
        assert_eq!(Ok(claim), expected(0x1_0000_0000, 0x2_1000_0000, 1, Class::Fixed));
        assert!(domain(&Line::new("CPU 0x00 in proximity domain 0x00")).is_none());
    }

    #[test]
    fn a_range_of_everything_is_a_window_and_does_not_wrap() {
        let read = claim(affinity(&Line::new("SRAT: Node 2 PXM 2 [mem 0x00000000-0xffffffffffffffff]")));
        assert_eq!(read, expected(0, u64::MAX, 2, Class::Window));
    }

    #[test]
    fn a_length_of_zero_claims_nothing() {
        let read = claim(affinity(&Line::new("SRAT: Node 2 PXM 2 [mem 0x100000000-0xffffffff] hotplug")));
        assert_eq!(read.map(|claim| claim.range.is_empty()), Ok(true));
    }

    #[test]
    fn rejections_of_all_decades_are_known() {
        let rejects = |text: &str| matches!(rejection(&Line::new(text)), Some(Ok(Statement::Rejected)));
        for text in [
            "SRAT: PXMs only cover 1023MB of your 2047MB e820 RAM. Not used.",
            "NUMA: nodes only cover 6144MB of your 8185MB e820 RAM. Not used.",
            "NUMA: no nodes coverage for 2041MB of 8185MB RAM",
            "NUMA: node 0 [mem 0x0-0x23fffffff] overlaps with node 1 [mem 0x200000000-0x43fffffff]",
            "node 0 [mem 0x0-0x23fffffff] overlaps with node 1 [mem 0x200000000-0x43fffffff]",
            "No NUMA configuration found",
            "NUMA: No NUMA configuration found",
        ] {
            assert!(rejects(text), "{text}");
        }
        for text in [
            "NUMA: Warning: node 0 [mem 0x0-0xfff] overlaps with itself [mem 0x0-0xfff]",
            "NUMA: Node 0 [mem 0x0-0xfff] + [mem 0x2000-0x2fff] -> [mem 0x0-0x2fff]",
            "NUMA turned off",
        ] {
            assert!(!rejects(text), "{text}");
        }
    }

    #[test]
    fn old_notations_are_read() {
        let read = |text: &str| claim(affinity(&Line::new(text)));
        assert_eq!(read("SRAT: Node 0 PXM 0 0-a0000"), expected(0, 0xa0000, 0, Class::Fixed));
        assert_eq!(
            read("SRAT: Node 1 PXM 1 40000000-7fffffff"),
            expected(0x4000_0000, 0x8000_0000, 1, Class::Fixed)
        );
        let read = |text: &str| claim(merged(&Line::new(text)));
        assert_eq!(
            read("NUMA: Node 0 [0,a0000) + [100000,d0000000) -> [0,d0000000)"),
            expected(0, 0xd000_0000, 0, Class::Hull)
        );
        assert_eq!(
            read("NUMA: Node 1 [mem 0x0-0xfff] + [mem 0x2000-0x2fff] -> [mem 0x0-0x2fff]"),
            expected(0, 0x3000, 1, Class::Hull)
        );
        let read = |text: &str| claim(without_firmware(&Line::new(text)));
        assert_eq!(
            read("Faking a node at 0000000000000000-00000000bf6d0000"),
            expected(0, 0xbf6d_0000, 0, Class::Hull)
        );
    }
}
