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
use sparsemem::{ByteLen, Geometry, NodeId, Page, PfnRange, PhysAddr, PhysRange};
use sparsemem_boot_maps::{BootMap, Entry, Use};
use spin::mutex::SpinMutex;
use talc::TalcLock;
use talc::source::Manual;

use crate::arch::firmware::{Firmware, FirmwareError, NODES};
use crate::arch::{MAPPED_AT_ENTRY, Sizes, hotplug};
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
/// No node: marks memory for which firmware names none, until [`settle_nodes`].
const NO_NODE: NodeId = NodeId::new(u32::MAX);

/// The most ranges that firmware may describe: of memory, of reservations and of nodes.
const DESCRIBED: usize = 2 * BOOT_RANGES;

/// The reason why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootMemoryError {
    /// The description of memory and nodes is not valid.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The machine has no usable memory.
    #[error("the memory map has no usable memory: nothing of it is RAM below {limit}")]
    NoMemory {
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
    let mut storage = [Entry::EMPTY; DESCRIBED];
    let mut memory = Ranges::new();
    for part in ram(&described(firmware, &mut storage)?, below) {
        memory.try_push(part).map_err(|_| BootMemoryError::TooMany)?;
    }
    if memory.is_empty() {
        return Err(BootMemoryError::NoMemory { limit });
    }
    memory.iter().try_for_each(|(range, _)| hand_over(*range, firmware.place()))?;
    settle_nodes(&mut memory);
    memory
        .iter()
        .try_for_each(|(range, node)| FRAMES.lock().set_node(range.whole_frames::<Sizes>(), *node))?;
    Ok(memory)
}

/// All that firmware says of memory. What it names no node for is of [`NO_NODE`].
fn described<'s>(firmware: &Firmware, storage: &'s mut [Entry]) -> Result<BootMap<'s>, FirmwareError> {
    let mut map = BootMap::new(storage);
    firmware.add_to(&mut map)?;
    // The first range of a node counts, so this one is for memory that no other has.
    map.assign(PhysAddr::new(0), u64::MAX, NO_NODE)?;
    Ok(map)
}

/// The RAM of a map at some addresses, with its nodes, lowest first.
fn ram(map: &BootMap<'_>, within: PhysRange) -> impl Iterator<Item = (PhysRange, NodeId)> {
    let parts = map.ram::<Sizes>().map(move |part| (bytes(part.frames).intersection(within), part.node));
    parts.filter(|(range, _)| !range.is_empty())
}

/// The addresses of frames.
fn bytes(frames: PfnRange) -> PhysRange {
    frames.bytes::<Sizes>().unwrap_or_default()
}

/// Gives memory of no node to the default one. If there are nodes at all, the kernel prints it.
fn settle_nodes(memory: &mut Ranges) {
    let has_nodes = memory.iter().any(|(_, node)| *node != NO_NODE);
    for (range, node) in memory.iter_mut().filter(|(_, node)| *node == NO_NODE) {
        *node = DEFAULT_NODE;
        if has_nodes {
            say!("memory: {NODES} does not mention {range}; node {DEFAULT_NODE} gets it");
        }
    }
}

/// The first address that the command line keeps from boot.
fn limit(firmware: &Firmware) -> PhysAddr {
    PhysAddr::new(firmware.command_line().memory_limit().map_or(u64::MAX, ByteLen::get))
}

/// The first range of RAM that the command line keeps from boot, with its node.
pub(crate) fn withheld(firmware: &Firmware) -> Result<Option<(PhysRange, NodeId)>, BootMemoryError> {
    let above = PhysRange::new(limit(firmware), PhysAddr::new(u64::MAX)).unwrap_or_default();
    let mut storage = [Entry::EMPTY; DESCRIBED];
    let mut kept = Ranges::new();
    kept.extend(ram(&described(firmware, &mut storage)?, above).take(1));
    settle_nodes(&mut kept);
    Ok(kept.pop())
}

/// The frames after those of boot among which memory may come: RAM that the command line keeps from boot, memory that
/// firmware has nodes for, and the board's slots. As far as this kernel can afford descriptors for them.
///
/// # Errors
///
/// [`BootMemoryError`].
pub(crate) fn may_come(firmware: &Firmware, boot: &Ranges) -> Result<PfnRange, BootMemoryError> {
    let boot = boot.iter().map(|(range, _)| *range);
    let later = affordable(boot.clone());
    let kept = withheld(firmware)?.map(|(range, _)| range);
    let ram_end = boot.chain(kept).map(PhysRange::end).max().unwrap_or_default();
    let mut storage = [Entry::EMPTY; DESCRIBED];
    let mut map = described(firmware, &mut storage)?;
    // If all were RAM, all that has a node would be there.
    map.add(PhysAddr::new(0), u64::MAX, Use::Free).map_err(FirmwareError::from)?;
    let with_node = map.ram::<Sizes>().filter(|part| part.node != NO_NODE).map(|part| bytes(part.frames));
    let ranges = with_node.chain(kept).chain([hotplug::window(ram_end)]);
    let ranges = ranges.map(|range| range.intersection(later)).filter(|range| !range.is_empty());
    Ok(ranges.reduce(hull).unwrap_or_default().whole_frames::<Sizes>())
}

/// The part of the memory of boot that may become descriptors for memory that may come: one third. The memory of boot has
/// other uses, too.
const AFFORDED: u64 = 3;

/// The addresses after the memory of boot up to which one array, from its first frame on, is affordable.
fn affordable(boot: impl Iterator<Item = PhysRange> + Clone) -> PhysRange {
    let bytes: u64 = boot.clone().map(|range| range.count().get()).sum();
    let frames = bytes / AFFORDED / size_of::<Page>() as u64;
    let all = boot.reduce(hull).unwrap_or_default();
    let end = all.start().saturating_add(ByteLen::new(frames << Sizes::PAGE_SHIFT));
    PhysRange::new(all.end(), end).unwrap_or_default()
}

/// The addresses from the first of two ranges to the last of both.
fn hull(one: PhysRange, other: PhysRange) -> PhysRange {
    PhysRange::new(one.start().min(other.start()), one.end().max(other.end())).unwrap_or(one)
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
