//! What memory there is, by node, from what loader and firmware say of it; and handing it to the page allocator.
//!
//! # Invariants
//!
//! 1. No heap is needed.
//! 2. What is decided here without being told is said aloud: memory that no node has, and memory that nobody will be given.

use arrayvec::ArrayVec;
use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange, presets::X86_64};

use super::frames::{ENDS, FRAMES, take_zeroed};
use super::homes::Crowded;
use crate::command_line::CommandLine;
use crate::cpu::direct_map::{self, NoTable};
use crate::firmware::acpi::TableError;
use crate::firmware::srat;
use crate::firmware::start_info::{Kind, StartInfo};
use crate::say;

unsafe extern "C" {
    /// Where the linker script ends the image.
    static image_end: u8;
}

/// Ranges of memory that there is room for before there is a heap.
pub(crate) const MOST: usize = 64;

/// Memory by node.
pub(crate) type Ranges = ArrayVec<(PhysRange, NodeId), MOST>;

/// The node of memory that no node is said to have, as with Linux.
const NOBODY_S: NodeId = NodeId::new(0);

/// Why memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurveyError {
    /// A table of firmware is broken.
    #[error("firmware: {0}; nothing is known for sure of memory and nodes then")]
    Table(#[from] TableError),
    /// There is nothing to run on.
    #[error("the memory map has no usable memory: {entries} entries, none of them RAM below {limit}")]
    NoMemory {
        /// How many entries there are.
        entries: usize,
        /// What the command line allows.
        limit: PhysAddr,
    },
    /// There are more ranges than there is room for before there is a heap.
    #[error(
        "firmware tells of more than {MOST} ranges of memory, which is all that this kernel has room for"
    )]
    TooMany,
    /// Memory cannot be reached.
    #[error(transparent)]
    DirectMap(#[from] NoTable),
    /// The page allocator has no room for what is known of nodes.
    #[error(transparent)]
    Crowded(#[from] Crowded),
}

/// The memory to use, by node. The page allocator has what is left of it beside the image.
///
/// # Errors
///
/// [`SurveyError`].
pub(crate) fn memory(info: &StartInfo, line: CommandLine) -> Result<Ranges, SurveyError> {
    let limit = PhysAddr::new(line.memory_limit().map_or(u64::MAX, ByteLen::get));
    let below = PhysRange::new(PhysAddr::new(0), limit).unwrap_or_default();
    let ram = info.memory_map().filter(|entry| entry.kind == Kind::Ram);
    let ram = ram.map(|entry| entry.range.intersection(below)).filter(|range| !range.is_empty());
    let mut ram: ArrayVec<PhysRange, MOST> = gathered(ram)?;
    if ram.is_empty() {
        return Err(SurveyError::NoMemory { entries: info.memory_map().count(), limit });
    }
    ram.sort_unstable_by_key(|range| range.start());
    ram.iter().try_for_each(|range| hand_over(*range))?;
    let (mut of_nodes, mut too_many) = (Ranges::new(), false);
    if let Some(rsdp) = info.rsdp() {
        srat::memory(rsdp, &mut |range, node| too_many |= of_nodes.try_push((range, node)).is_err())?;
    }
    of_nodes.sort_unstable_by_key(|(range, _)| range.start());
    let memory = if too_many { Err(SurveyError::TooMany) } else { by_node(&ram, &of_nodes) }?;
    memory
        .iter()
        .try_for_each(|(range, node)| FRAMES.lock().settle(range.whole_frames::<X86_64>(), *node))?;
    Ok(memory)
}

/// Gives the page allocator what of a range lies behind the image. Lower ranges come first: the tables through which
/// those above 4 GiB are reached are made of them.
fn hand_over(range: PhysRange) -> Result<(), NoTable> {
    let image = PhysAddr::new((&raw const image_end).addr() as u64);
    let free = PhysRange::new(range.start().max(image).min(range.end()), range.end()).unwrap_or_default();
    direct_map::map(free, &mut take_zeroed)?;
    let beyond = FRAMES.lock().boot(free.whole_frames::<X86_64>());
    if !beyond.is_empty() {
        say!("memory: {beyond} has descriptors, but is given to nobody: {ENDS}");
    }
    Ok(())
}

/// Puts what comes into an array, if it has room.
fn gathered<T>(items: impl Iterator<Item = T>) -> Result<ArrayVec<T, MOST>, SurveyError> {
    let mut gathered = ArrayVec::new();
    for item in items {
        gathered.try_push(item).map_err(|_| SurveyError::TooMany)?;
    }
    Ok(gathered)
}

/// Memory with its nodes. Where nodes, which come in order, overlap, the first counts.
fn by_node(ram: &[PhysRange], nodes: &[(PhysRange, NodeId)]) -> Result<Ranges, SurveyError> {
    let mut parts = Ranges::new();
    let mut tell = |part: PhysRange, node| {
        if part.is_empty() { Ok(()) } else { parts.try_push((part, node)).map_err(|_| SurveyError::TooMany) }
    };
    for range in ram {
        let mut told_to = range.start();
        for (of_node, node) in nodes {
            let start = of_node.start().clamp(told_to, range.end());
            let end = of_node.end().clamp(start, range.end());
            if start < end {
                tell(nobody_s(told_to, start, nodes), NOBODY_S)?;
                tell(PhysRange::new(start, end).unwrap_or_default(), *node)?;
                told_to = end;
            }
        }
        tell(nobody_s(told_to, range.end(), nodes), NOBODY_S)?;
    }
    Ok(parts)
}

/// Memory between that of `nodes`, which is spoken of where there are nodes at all.
fn nobody_s(start: PhysAddr, end: PhysAddr, nodes: &[(PhysRange, NodeId)]) -> PhysRange {
    let range = PhysRange::new(start, end).unwrap_or_default();
    if !range.is_empty() && !nodes.is_empty() {
        say!("memory: the SRAT says nothing of {range}; node {NOBODY_S} is given it");
    }
    range
}
