//! The memory of boot: what there is by node, from what loader and firmware say of it, handed to the page allocator, and
//! from there to the heap.
//!
//! # Invariants
//!
//! 1. No heap is needed, and there is none before [`open_heap`]: an allocation ends the run. So a model that is up before
//!    that has used none.
//! 2. What is decided here without being told is said aloud: memory that no node has, and memory that nobody will be given.

use arrayvec::ArrayVec;
use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange, presets::X86_64};

use spin::mutex::SpinMutex;
use talc::TalcLock;
use talc::source::Manual;

use crate::acpi::{self, TableError};
use crate::cpu::direct_map;
use crate::cpu::paging::{self, NoTable};
use crate::frames::{BOOT_RANGES, ENDS, FRAMES, TooManyRanges, take_zeroed};
use crate::loader::StartInfo;
use crate::say;

unsafe extern "C" {
    /// Where the linker script ends the image.
    static image_end: u8;
}

/// Units: bytes. The heap, for scenarios and stories: the models need none.
const HEAP_BYTES: usize = 12 << 20;

#[global_allocator]
static HEAP: TalcLock<SpinMutex<()>, Manual> = TalcLock::new(Manual);

/// Memory by node.
pub(crate) type Ranges = ArrayVec<(PhysRange, NodeId), BOOT_RANGES>;

/// The node of memory that no node is said to have, as with Linux.
const DEFAULT_NODE: NodeId = NodeId::new(0);

/// Why memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootMemoryError {
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
        "firmware tells of more than {BOOT_RANGES} ranges of memory, which is all that this kernel has room for"
    )]
    TooMany,
    /// Memory cannot be reached.
    #[error(transparent)]
    DirectMap(#[from] NoTable),
    /// The page allocator has no room for what is known of nodes.
    #[error(transparent)]
    Nodes(#[from] TooManyRanges),
    /// There are not as many frames in a row as the heap wants.
    #[error(
        "the page allocator has no {HEAP_BYTES:#x} bytes in a row for the heap; give the machine more memory"
    )]
    NoHeap,
}

/// The memory to use, by node. The page allocator has what is left of it beside the image.
///
/// # Errors
///
/// [`BootMemoryError`].
pub(crate) fn memory(info: &StartInfo) -> Result<Ranges, BootMemoryError> {
    let limit = PhysAddr::new(info.command_line().memory_limit().map_or(u64::MAX, ByteLen::get));
    let below = PhysRange::new(PhysAddr::new(0), limit).unwrap_or_default();
    let ram = info.memory_map().filter(|entry| entry.is_ram);
    let ram = ram.map(|entry| entry.range.intersection(below)).filter(|range| !range.is_empty());
    let mut ram: ArrayVec<PhysRange, BOOT_RANGES> = gathered(ram)?;
    if ram.is_empty() {
        return Err(BootMemoryError::NoMemory { entries: info.memory_map().count(), limit });
    }
    ram.sort_unstable_by_key(|range| range.start());
    ram.iter().try_for_each(|range| hand_over(*range))?;
    let (mut of_nodes, mut too_many) = (Ranges::new(), false);
    if let Some(rsdp) = info.rsdp() {
        acpi::srat_memory(rsdp, &mut |range, node| too_many |= of_nodes.try_push((range, node)).is_err())?;
    }
    of_nodes.sort_unstable_by_key(|(range, _)| range.start());
    let memory = if too_many { Err(BootMemoryError::TooMany) } else { by_node(&ram, &of_nodes) }?;
    memory
        .iter()
        .try_for_each(|(range, node)| FRAMES.lock().set_node(range.whole_frames::<X86_64>(), *node))?;
    Ok(memory)
}

/// Gives frames of the page allocator to the heap, for ever.
///
/// # Errors
///
/// [`BootMemoryError::NoHeap`].
pub(crate) fn open_heap() -> Result<(), BootMemoryError> {
    let at = FRAMES.lock().take(HEAP_BYTES / 4096, 1).ok_or(BootMemoryError::NoHeap)?;
    let start = direct_map::to_virt(at).ok_or(BootMemoryError::NoHeap)?;
    // SAFETY: the frames were just given to the heap alone and never go back, and the direct map reaches them.
    unsafe { HEAP.lock().claim(start.as_ptr(), HEAP_BYTES) }.map(drop).ok_or(BootMemoryError::NoHeap)
}

/// Gives the page allocator what of a range lies behind the image. Lower ranges come first: the tables through which
/// those above 4 GiB are reached are made of them.
fn hand_over(range: PhysRange) -> Result<(), NoTable> {
    let image = PhysAddr::new((&raw const image_end).addr() as u64);
    let free = PhysRange::new(range.start().max(image).min(range.end()), range.end()).unwrap_or_default();
    paging::map(free, &mut take_zeroed)?;
    let beyond = FRAMES.lock().boot(free.whole_frames::<X86_64>());
    if !beyond.is_empty() {
        say!("memory: {beyond} has descriptors, but is given to nobody: {ENDS}");
    }
    Ok(())
}

/// Puts what comes into an array, if it has room.
fn gathered<T>(items: impl Iterator<Item = T>) -> Result<ArrayVec<T, BOOT_RANGES>, BootMemoryError> {
    let mut gathered = ArrayVec::new();
    for item in items {
        gathered.try_push(item).map_err(|_| BootMemoryError::TooMany)?;
    }
    Ok(gathered)
}

/// Memory with its nodes. Where nodes, which come in order, overlap, the first counts.
fn by_node(ram: &[PhysRange], nodes: &[(PhysRange, NodeId)]) -> Result<Ranges, BootMemoryError> {
    let mut parts = Ranges::new();
    let mut tell = |part: PhysRange, node| {
        if part.is_empty() {
            Ok(())
        } else {
            parts.try_push((part, node)).map_err(|_| BootMemoryError::TooMany)
        }
    };
    for range in ram {
        let mut told_to = range.start();
        for (of_node, node) in nodes {
            let start = of_node.start().clamp(told_to, range.end());
            let end = of_node.end().clamp(start, range.end());
            if start < end {
                tell(of_no_node(told_to, start, nodes), DEFAULT_NODE)?;
                tell(PhysRange::new(start, end).unwrap_or_default(), *node)?;
                told_to = end;
            }
        }
        tell(of_no_node(told_to, range.end(), nodes), DEFAULT_NODE)?;
    }
    Ok(parts)
}

/// Memory between that of `nodes`, which is spoken of where there are nodes at all.
fn of_no_node(start: PhysAddr, end: PhysAddr, nodes: &[(PhysRange, NodeId)]) -> PhysRange {
    let range = PhysRange::new(start, end).unwrap_or_default();
    if !range.is_empty() && !nodes.is_empty() {
        say!("memory: the SRAT says nothing of {range}; node {DEFAULT_NODE} is given it");
    }
    range
}
