//! The memory of boot: ranges by node, from the descriptions of loader and firmware. The page allocator gets them,
//! and the heap gets memory from the page allocator.
//!
//! # Invariants
//!
//! 1. This module needs no heap, and there is none before [`open_heap`]: an allocation ends the run. So a model that
//!    is up before that has used no heap.
//! 2. Decisions that the machine's description does not determine are printed: memory without a node, and memory that
//!    the page allocator cannot use.

use arrayvec::ArrayVec;
use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};

use spin::mutex::SpinMutex;
use talc::TalcLock;
use talc::source::Manual;

use crate::arch::firmware::{Firmware, FirmwareError, NODES};
use crate::arch::{MAPPED_AT_ENTRY, Sizes};
use crate::direct_map;
use crate::frames::{BOOT_RANGES, ENDS, FRAMES, TooManyRanges, take_zeroed};
use crate::paging::{self, NoTable};
use crate::say;

unsafe extern "C" {
    /// The end of the image, according to the linker script.
    static image_end: u8;
}

/// Bytes of the heap for scenarios and stories; the models need none.
const HEAP_BYTES: usize = 12 << 20;

#[global_allocator]
static HEAP: TalcLock<SpinMutex<()>, Manual> = TalcLock::new(Manual);

/// Memory by node.
pub(crate) type Ranges = ArrayVec<(PhysRange, NodeId), BOOT_RANGES>;

/// The node of memory for which firmware names none, as in Linux.
const DEFAULT_NODE: NodeId = NodeId::new(0);

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootMemoryError {
    /// The description of memory and nodes is not valid.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The machine has no usable memory.
    #[error("the memory map has no usable memory: {entries} entries, none of them RAM below {limit}")]
    NoMemory {
        /// The number of entries of the memory map.
        entries: usize,
        /// The limit from the command line.
        limit: PhysAddr,
    },
    /// There are more ranges than fit in an array without a heap.
    #[error("firmware describes more than {BOOT_RANGES} ranges of memory, for which this kernel has no room")]
    TooMany,
    /// Memory cannot be reached.
    #[error(transparent)]
    DirectMap(#[from] NoTable),
    /// The page allocator has no room for more ranges of nodes.
    #[error(transparent)]
    Nodes(#[from] TooManyRanges),
    /// There are not enough successive frames for the heap.
    #[error(
        "the page allocator has no {HEAP_BYTES:#x} bytes in a row for the heap; give the machine more memory"
    )]
    NoHeap,
}

/// The memory to use, by node. The page allocator gets all of it except the image.
///
/// # Errors
///
/// [`BootMemoryError`].
pub(crate) fn memory(firmware: &Firmware) -> Result<Ranges, BootMemoryError> {
    let limit = limit(firmware);
    let below = PhysRange::new(PhysAddr::new(0), limit).unwrap_or_default();
    let ram = firmware.memory_map().filter(|entry| entry.is_ram);
    let ram = ram.map(|entry| entry.range.intersection(below)).filter(|range| !range.is_empty());
    let mut ram: ArrayVec<PhysRange, BOOT_RANGES> = gathered(ram)?;
    if ram.is_empty() {
        return Err(BootMemoryError::NoMemory { entries: firmware.memory_map().count(), limit });
    }
    ram.sort_unstable_by_key(|range| range.start());
    ram.iter().try_for_each(|range| hand_over(*range, firmware.place()))?;
    let (mut of_nodes, mut too_many) = (Ranges::new(), false);
    firmware.nodes(&mut |range, node| too_many |= of_nodes.try_push((range, node)).is_err())?;
    of_nodes.sort_unstable_by_key(|(range, _)| range.start());
    let memory = if too_many { Err(BootMemoryError::TooMany) } else { by_node(&ram, &of_nodes) }?;
    memory
        .iter()
        .try_for_each(|(range, node)| FRAMES.lock().set_node(range.whole_frames::<Sizes>(), *node))?;
    Ok(memory)
}

/// The first address that the command line keeps from boot.
fn limit(firmware: &Firmware) -> PhysAddr {
    PhysAddr::new(firmware.command_line().memory_limit().map_or(u64::MAX, ByteLen::get))
}

/// The first range of RAM that the command line keeps from boot, with its node.
pub(crate) fn withheld(firmware: &Firmware) -> Result<Option<(PhysRange, NodeId)>, BootMemoryError> {
    let above = PhysRange::new(limit(firmware), PhysAddr::new(u64::MAX)).unwrap_or_default();
    let ram = firmware.memory_map().filter(|entry| entry.is_ram);
    let mut kept = ram.map(|entry| entry.range.intersection(above)).filter(|range| !range.is_empty());
    let Some(range) = kept.next() else { return Ok(None) };
    let mut node = DEFAULT_NODE;
    firmware.nodes(&mut |of, nr| {
        if of.contains(range.start()) {
            node = nr;
        }
    })?;
    Ok(Some((range, node)))
}

/// Gives frames of the page allocator to the heap, permanently.
///
/// # Errors
///
/// [`BootMemoryError::NoHeap`].
pub(crate) fn open_heap() -> Result<(), BootMemoryError> {
    let at = FRAMES.lock().take(HEAP_BYTES / 4096, 1).ok_or(BootMemoryError::NoHeap)?;
    let start = direct_map::to_virt(at).ok_or(BootMemoryError::NoHeap)?;
    // SAFETY: the frames were just given to the heap alone and are never given back, and the direct map reaches them.
    unsafe { HEAP.lock().claim(start.as_ptr(), HEAP_BYTES) }.map(drop).ok_or(BootMemoryError::NoHeap)
}

/// Gives the part of a range past the image to the page allocator, without what firmware needs of it. Lower memory must
/// be passed first, because the tables through which memory that entry code has not mapped is reached are made of it.
fn hand_over(range: PhysRange, of_firmware: PhysRange) -> Result<(), NoTable> {
    let image = PhysAddr::new((&raw const image_end).addr() as u64);
    let start = range.start().max(image).min(range.end());
    let within = |at: PhysAddr| at.clamp(start, range.end());
    let (first, second) = (within(of_firmware.start()), within(of_firmware.end()));
    hand_over_all(start, first)?;
    hand_over_all(second, range.end())
}

/// Gives all memory of a range to the page allocator: first the part that entry code has mapped.
fn hand_over_all(start: PhysAddr, end: PhysAddr) -> Result<(), NoTable> {
    let mapped = PhysAddr::new(MAPPED_AT_ENTRY).clamp(start, end);
    for (start, end) in [(start, mapped), (mapped, end)] {
        let free = PhysRange::new(start, end).unwrap_or_default();
        paging::map(free, &mut take_zeroed)?;
        let beyond = FRAMES.lock().boot(free.whole_frames::<Sizes>());
        if !beyond.is_empty() {
            say!("memory: {beyond} has descriptors, but cannot be allocated: {ENDS}");
        }
    }
    Ok(())
}

/// Collects items in an array, if it has room.
fn gathered<T>(items: impl Iterator<Item = T>) -> Result<ArrayVec<T, BOOT_RANGES>, BootMemoryError> {
    let mut gathered = ArrayVec::new();
    for item in items {
        gathered.try_push(item).map_err(|_| BootMemoryError::TooMany)?;
    }
    Ok(gathered)
}

/// Memory with its nodes. Nodes must be sorted; where they overlap, the first counts.
fn by_node(ram: &[PhysRange], nodes: &[(PhysRange, NodeId)]) -> Result<Ranges, BootMemoryError> {
    let mut parts = Ranges::new();
    let mut report = |part: PhysRange, node| {
        if part.is_empty() {
            Ok(())
        } else {
            parts.try_push((part, node)).map_err(|_| BootMemoryError::TooMany)
        }
    };
    for range in ram {
        let mut reported_to = range.start();
        for (of_node, node) in nodes {
            let start = of_node.start().clamp(reported_to, range.end());
            let end = of_node.end().clamp(start, range.end());
            if start < end {
                report(of_no_node(reported_to, start, nodes), DEFAULT_NODE)?;
                report(PhysRange::new(start, end).unwrap_or_default(), *node)?;
                reported_to = end;
            }
        }
        report(of_no_node(reported_to, range.end(), nodes), DEFAULT_NODE)?;
    }
    Ok(parts)
}

/// Memory between the ranges of `nodes`. If there are nodes at all, the kernel prints it.
fn of_no_node(start: PhysAddr, end: PhysAddr, nodes: &[(PhysRange, NodeId)]) -> PhysRange {
    let range = PhysRange::new(start, end).unwrap_or_default();
    if !range.is_empty() && !nodes.is_empty() {
        say!("memory: {NODES} does not mention {range}; node {DEFAULT_NODE} gets it");
    }
    range
}
