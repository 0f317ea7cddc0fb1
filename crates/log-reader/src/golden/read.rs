//! The lines that have facts.
//!
//! # Invariants
//!
//! 1. Zones, and early node ranges of old kernels, only count under their header.
//! 2. A node structure without a node number belongs to the node that was set up on the line before it.

use sparsemem_core::{ByteLen, NodeId, PageCount, PhysRange, VirtAddr, VirtRange};

use super::{Golden, NodeData, Unavailable, UnavailableInZone, VmemmapRun, Zone};
use crate::Reason;
use crate::addresses::{self, decimal, decimal32};
use crate::error::shortened;
use crate::frames::{FRAME_BYTES, FrameRange, radix_of};
use crate::line::Line;
use crate::notations::registered;
use crate::statement::{self, Statement};

/// The facts of the lines so far, and the header that the next line stands under.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) golden: Golden,
    header: Header,
    setup: Option<NodeId>,
}

/// The header that the next line stands under.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Header {
    #[default]
    None,
    Zones,
    BareRanges,
}

/// Nothing for a line without a fact, otherwise the reason if the fact cannot be read.
type FactAnswer = Option<Result<(), Reason>>;
/// Reads a line into the facts.
type Fact = fn(&mut Reader, &str) -> FactAnswer;

/// Every kind of line by itself.
const FACTS: [Fact; 9] = [
    Reader::total_pages,
    Reader::unavailable,
    Reader::vmemmap_run,
    Reader::memory_block_size,
    Reader::node_data,
    Reader::node_span,
    Reader::present,
    Reader::online,
    Reader::total_ram,
];

impl Reader {
    /// Reads one line.
    pub(super) fn line(&mut self, line: &Line<'_>) -> FactAnswer {
        let message = line.message;
        if message == "Zone ranges:" || message == "Zone PFN ranges:" {
            self.header = Header::Zones;
            return None;
        }
        if message.starts_with("Movable zone start") {
            self.header = Header::None;
            return None;
        }
        if registered::heads_early_ranges(line) {
            self.header = Header::BareRanges;
            return None;
        }
        let answer = self.under_header(line).or_else(|| self.early_range(registered::early_range(line)));
        answer.or_else(|| FACTS.iter().find_map(|fact| fact(self, message)))
    }

    /// A line that only means something under a header.
    fn under_header(&mut self, line: &Line<'_>) -> FactAnswer {
        match self.header {
            Header::None => None,
            Header::Zones => self.zone(line.message),
            Header::BareRanges => self.early_range(registered::bare_early_range(line)),
        }
    }

    /// An early node range.
    fn early_range(&mut self, answer: statement::Answer) -> FactAnswer {
        Some(answer?.and_then(|item| {
            match item {
                Statement::Entry(_, entry) => {
                    self.golden.early_node_ranges.extend(entry.node.map(|node| (entry.range, node)));
                }
                Statement::Frames(node, range) => {
                    self.golden.early_node_ranges.push((in_frames(&Ok(range))?, node));
                }
                _ => {}
            }
            Ok(())
        }))
    }

    /// `DMA [mem ..]`, `DMA 0x10 -> 0x1000`, `Normal empty`.
    fn zone(&mut self, message: &str) -> FactAnswer {
        let (name, text) = message.split_once(char::is_whitespace)?;
        let text = text.trim_start();
        let range = match text {
            "empty" => Ok(None),
            _ if text.starts_with("[mem") => addresses::mem(text).map(|(range, _)| Some(range)),
            _ if text.contains("->") => in_frames(&FrameRange::read(text)).map(Some),
            _ => return None,
        };
        let name = name.to_owned();
        Some(range.map(|range| self.golden.zones.push(Zone { name, range })))
    }

    /// `On node 0 totalpages: 5`.
    fn total_pages(&mut self, message: &str) -> FactAnswer {
        let (node, pages) = message.strip_prefix("On node ")?.split_once(" totalpages:")?;
        Some(node_of(node).and_then(|node| {
            self.golden.total_pages.insert(node, PageCount::new(decimal(pages)?));
            Ok(())
        }))
    }

    /// The three forms of the unavailable pages.
    fn unavailable(&mut self, message: &str) -> FactAnswer {
        if let Some(text) = message.strip_prefix("Zeroed struct page in unavailable ranges:") {
            let pages = decimal(text.trim().trim_end_matches(" pages"));
            return Some(pages.map(|pages| {
                self.golden.unavailable = Some(Unavailable::Total(PageCount::new(pages)));
            }));
        }
        let text = message.strip_suffix(" pages in unavailable ranges")?;
        Some(hole_of(text).map(|hole| match &mut self.golden.unavailable {
            Some(Unavailable::ByZone(rows)) => rows.push(hole),
            other => *other = Some(Unavailable::ByZone(vec![hole])),
        }))
    }

    /// `[ffffea..-ffffea..] PMD -> [ffff88..-ffff88..] on node 0`.
    fn vmemmap_run(&mut self, message: &str) -> FactAnswer {
        let (descriptors, text) = message.strip_prefix('[')?.split_once("] PMD -> [")?;
        Some(run_of(descriptors, text).map(|run| self.golden.vmemmap_runs.push(run)))
    }

    /// `x86/mm: Memory block size: 128MB`, `Memory block size:  1G`.
    fn memory_block_size(&mut self, message: &str) -> FactAnswer {
        let (_, text) = message.split_once("emory block size:")?;
        let size = bytes_of(text).ok_or_else(|| Reason::BadBlockSize { text: shortened(text) });
        Some(size.map(|size| self.golden.memory_block_bytes = Some(ByteLen::new(size))))
    }

    /// `NODE_DATA(0) allocated [mem ..]`, `NODE_DATA [mem ..]`, `NODE_DATA [a - b]`.
    fn node_data(&mut self, message: &str) -> FactAnswer {
        let (_, text) = message.split_once("NODE_DATA")?;
        let (node, range) = match text.strip_prefix('(').and_then(|text| text.split_once(") allocated ")) {
            Some((node, range)) => (Some(node), range),
            None => (None, text.trim_start()),
        };
        if !range.starts_with('[') {
            return None;
        }
        let node = node.map(node_of).transpose().map(|node| node.or(self.setup));
        Some(node.and_then(|node| {
            self.golden.node_data.push(NodeData { node, range: bracketed(range)? });
            Ok(())
        }))
    }

    /// `Initmem setup node 0 [mem ..]`, `.. 0 as memoryless`, `.. 0 a-b`.
    fn node_span(&mut self, message: &str) -> FactAnswer {
        let (node, text) = message.strip_prefix("Initmem setup node ")?.split_once(' ')?;
        let span = match text {
            "as memoryless" | "[mem 0x0000000000000000-0x0000000000000000]" => Ok(None),
            _ if text.starts_with('[') => bracketed(text).map(Some),
            _ => {
                addresses::pair(text, "-").and_then(|(start, end)| addresses::exclusive(start, end)).map(Some)
            }
        };
        Some(node_of(node).and_then(|node| {
            self.setup = Some(node);
            self.golden.node_spans.insert(node, span?);
            Ok(())
        }))
    }

    /// `Memory: 1K/2K available (.., 0k absent, ..)`.
    fn present(&mut self, message: &str) -> FactAnswer {
        let (sizes, details) = message.strip_prefix("Memory: ")?.split_once(" available")?;
        let (_, total) = sizes.split_once('/')?;
        let absent = details.split([',', '(']).find_map(|part| part.trim().strip_suffix(" absent"));
        let bytes = bytes_of(total).zip(bytes_of(absent.unwrap_or("0k")));
        let present = bytes.and_then(|(total, absent)| total.checked_sub(absent));
        let present = present.ok_or_else(|| Reason::BadNumber { digits: shortened(sizes) });
        Some(present.map(|present| self.golden.present_bytes = Some(ByteLen::new(present))))
    }

    /// `0x..-0x..  8G online yes 1-8` of `lsmem`.
    fn online(&mut self, message: &str) -> FactAnswer {
        let mut words = message.split_whitespace();
        let range = words.next().filter(|word| word.starts_with("0x") && word.contains("-0x"))?;
        if !matches!((words.next(), words.next()), (Some(_), Some("online"))) {
            return None;
        }
        let range = addresses::pair(range, "-").and_then(|(start, end)| addresses::inclusive(start, end));
        Some(range.map(|range| self.golden.online.push(range)))
    }

    /// `Top of RAM: 0x.., Total RAM: 0x..`.
    fn total_ram(&mut self, message: &str) -> FactAnswer {
        let (_, total) = message.strip_prefix("Top of RAM:")?.split_once("Total RAM:")?;
        let total = crate::addresses::hex(total);
        Some(total.map(|bytes| self.golden.total_ram_bytes = Some(ByteLen::new(bytes))))
    }
}

/// The addresses of a range in frames of 4 KiB.
fn in_frames(range: &Result<FrameRange, Reason>) -> Result<PhysRange, Reason> {
    let range = range.as_ref().map_err(Clone::clone)?;
    range.range(radix_of(std::iter::once(range)), FRAME_BYTES)
}

/// A node number.
fn node_of(text: &str) -> Result<NodeId, Reason> {
    decimal32(text).map(NodeId::new)
}

/// `On node 0, zone DMA: 5` or `DMA zone: 5`.
fn hole_of(text: &str) -> Result<UnavailableInZone, Reason> {
    let (place, pages) = text.rsplit_once(':').ok_or(Reason::NoNumber)?;
    let pages = PageCount::new(decimal(pages)?);
    let (node, zone) = match place.strip_prefix("On node ").and_then(|place| place.split_once(", zone ")) {
        Some((node, zone)) => (Some(node_of(node)?), zone),
        None => (None, place.trim_end_matches(" zone")),
    };
    Ok(UnavailableInZone { node, zone: zone.trim().to_owned(), pages })
}

/// `ffffea..-ffffea..` and `ffff88..-ffff88..] on node 0`.
fn run_of(descriptors: &str, text: &str) -> Result<VmemmapRun, Reason> {
    let (backing, node) = text.split_once("] on node ").ok_or(Reason::NoNode)?;
    Ok(VmemmapRun { descriptors: virt(descriptors)?, backing: virt(backing)?, node: node_of(node)? })
}

/// A range of virtual addresses with its end included.
fn virt(text: &str) -> Result<VirtRange, Reason> {
    let (start, end) = addresses::pair(text, "-")?;
    let range = addresses::inclusive(start, end)?;
    let (start, end) = (VirtAddr::new(range.start().get()), VirtAddr::new(range.end().get()));
    VirtRange::new(start, end).map_err(|_| Reason::Reversed { start: start.get(), end: end.get() })
}

/// `[mem a-b]` or `[a - b]`, the end included.
fn bracketed(text: &str) -> Result<PhysRange, Reason> {
    if text.starts_with("[mem") {
        return addresses::mem(text).map(|(range, _)| range);
    }
    let (inner, _) = text.strip_prefix('[').and_then(|text| text.split_once(']')).ok_or(Reason::NoRange)?;
    let (start, end) = addresses::pair(inner, "-")?;
    addresses::inclusive(start, end)
}

/// The bytes of `128MB`, `1G`, `2096K`, `452k`.
fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches('B');
    let unit = text.chars().next_back()?;
    let shift = match unit {
        'k' | 'K' => 10,
        'M' => 20,
        'G' => 30,
        _ => return None,
    };
    decimal(text.strip_suffix(unit)?).ok()?.checked_mul(1 << shift)
}
