//! From what firmware says of the machine to a model that is up, and then to what the command line asks for.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use sparsemem::{
    ArrayPlace, BootError, BootEvent, BootModel, ByteLen, MemoryRange, NodeId, PhysAddr, PhysRange, VirtAddr,
    VirtRange, presets::X86_64,
};
use sparsemem_hotplug::{AdoptError, BlockSize, Hotplug, Limits, Storage};
use sparsemem_scenarios::{Surroundings, World};

use crate::command_line::CommandLine;
use crate::cpu::direct_map::{self, NoTable};
use crate::dimm::{SlotError, Slots};
use crate::event::{Event, Outcome, tell};
use crate::firmware::acpi::TableError;
use crate::firmware::start_info::{Kind, StartInfo, StartInfoError};
use crate::firmware::{nfit, srat};
use crate::glue::{Array, MODEL};
use crate::memory::frames::{FRAMES, take_zeroed};
use crate::memory::heap::{self, NoHeap};
use crate::plug::{self, Site, Told};
use crate::trial::{Ground, run_all};
use crate::{cpu, look, say};

/// The backend, by the name of its feature.
const BACKEND: &str = if cfg!(feature = "vmemmap") {
    "vmemmap"
} else if cfg!(feature = "sparse-extreme") {
    "sparse-extreme"
} else {
    "classic-sparse"
};

/// Why the kernel cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The loader's information is no use.
    #[error(transparent)]
    StartInfo(#[from] StartInfoError),
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
    /// There is no room for the heap.
    #[error(transparent)]
    Heap(#[from] NoHeap),
    /// The model did not come up.
    #[error("the model did not come up: {0}")]
    Boot(#[from] BootError),
    /// Memory of boot cannot be registered for hotplug.
    #[error("memory of boot cannot be registered: {0}")]
    Adopt(#[from] AdoptError),
    /// Persistent memory cannot be reached.
    #[error("{0}")]
    Reach(plug::Trouble),
    /// Stories need slots.
    #[error(transparent)]
    Slots(#[from] SlotError),
}

impl From<plug::Trouble> for Trouble {
    fn from(trouble: plug::Trouble) -> Self {
        Self::Reach(trouble)
    }
}

unsafe extern "C" {
    /// Where the linker script ends the image.
    static image_end: u8;
}

/// Ranges of memory that there is room for before there is a heap.
const MOST: usize = 64;

/// Memory by node, without a heap.
type Ranges = ArrayVec<(PhysRange, NodeId), MOST>;

/// Boots, and does what is asked for. Gives how many cells failed.
pub(crate) fn run(start_info: PhysAddr) -> Result<u64, Trouble> {
    let info = StartInfo::at(start_info)?;
    let line = CommandLine::new(info.command_line());
    let memory = memory(&info, line)?;
    let persistent = info.rsdp().map_or(Ok(None), nfit::persistent)?;
    let array = VirtRange::from_start_count(VirtAddr::new(Array::START), ByteLen::new(Array::BYTES));
    let mut ground = Ground::new(array.filter(|_| cfg!(feature = "vmemmap")));
    let ranges = memory.iter().map(|(range, node)| MemoryRange::from_bytes::<X86_64>(*range, *node));
    let on_event = &mut |event: BootEvent| say!("boot: {event:?}");
    let summary = MODEL.boot(ground.env_mut(), ranges.clone(), on_event)?;
    heap::open()?;
    ground.end_boot();
    let depth = match cpu::paging::depth() {
        sparsemem::PagingDepth::Four => 4,
        sparsemem::PagingDepth::Five => 5,
    };
    tell(Event::Hello { backend: BACKEND, depth, geometry: "x86_64" });
    let failed = match line.run() {
        "look" => {
            look::picture(BACKEND, &memory, summary, &ground);
            0
        }
        "scenarios" => {
            persistent.map_or(Ok(()), |(range, _)| ground.lend(range))?;
            run_all(&mut ground, line.machine(), &ranges.collect::<Vec<_>>())
        }
        story => tell_story(story, line.machine(), &memory, persistent, &mut ground)?,
    };
    tell(Event::End { failed });
    Ok(failed)
}

/// The memory to use, by node. The page allocator has what is left of it beside the image.
fn memory(info: &StartInfo, line: CommandLine) -> Result<Ranges, Trouble> {
    let limit = PhysAddr::new(line.memory_limit().map_or(u64::MAX, ByteLen::get));
    let below = PhysRange::new(PhysAddr::new(0), limit).unwrap_or_default();
    let ram = info.memory_map().filter(|entry| entry.kind == Kind::Ram);
    let ram = ram.map(|entry| entry.range.intersection(below)).filter(|range| !range.is_empty());
    let mut ram: ArrayVec<PhysRange, MOST> = gathered(ram)?;
    if ram.is_empty() {
        return Err(Trouble::NoMemory { entries: info.memory_map().count(), limit });
    }
    ram.sort_unstable_by_key(|range| range.start());
    ram.iter().try_for_each(|range| hand_over(*range))?;
    let (mut of_nodes, mut too_many) = (Ranges::new(), false);
    if let Some(rsdp) = info.rsdp() {
        srat::memory(rsdp, &mut |range, node| too_many |= of_nodes.try_push((range, node)).is_err())?;
    }
    of_nodes.sort_unstable_by_key(|(range, _)| range.start());
    if too_many { Err(Trouble::TooMany) } else { by_node(&ram, &of_nodes) }
}

/// Gives the page allocator what of a range lies behind the image. Lower ranges come first: the tables through which
/// those above 4 GiB are reached are made of them.
fn hand_over(range: PhysRange) -> Result<(), NoTable> {
    let image = PhysAddr::new((&raw const image_end).addr() as u64);
    let free = PhysRange::new(range.start().max(image).min(range.end()), range.end()).unwrap_or_default();
    direct_map::map(free, &mut take_zeroed)?;
    FRAMES.lock().boot(free.whole_frames::<X86_64>());
    Ok(())
}

/// Puts what comes into an array, if it has room.
fn gathered<T>(items: impl Iterator<Item = T>) -> Result<ArrayVec<T, MOST>, Trouble> {
    let mut gathered = ArrayVec::new();
    for item in items {
        gathered.try_push(item).map_err(|_| Trouble::TooMany)?;
    }
    Ok(gathered)
}

/// Memory with its nodes; what firmware says nothing of belongs to node 0. Where nodes, which come in order, overlap, the
/// first counts.
fn by_node(ram: &[PhysRange], nodes: &[(PhysRange, NodeId)]) -> Result<Ranges, Trouble> {
    let mut parts = Ranges::new();
    let mut tell = |start, end, node| match PhysRange::new(start, end) {
        Ok(part) if !part.is_empty() => parts.try_push((part, node)).map_err(|_| Trouble::TooMany),
        _ => Ok(()),
    };
    for range in ram {
        let mut told_to = range.start();
        for (of_node, node) in nodes {
            let start = of_node.start().clamp(told_to, range.end());
            let end = of_node.end().clamp(start, range.end());
            if start < end {
                tell(told_to, start, NodeId::new(0))?;
                tell(start, end, *node)?;
                told_to = end;
            }
        }
        tell(told_to, range.end(), NodeId::new(0))?;
    }
    Ok(parts)
}

/// Tells one story on the live model.
fn tell_story(
    name: &str,
    machine: &str,
    memory: &[(PhysRange, NodeId)],
    persistent: Option<(PhysRange, NodeId)>,
    ground: &mut Ground,
) -> Result<u64, Trouble> {
    let (mut blocks, mut resources) = (vec![None; 1024], vec![None; 128]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let mut hotplug = Hotplug::new(&MODEL, Limits::new(BlockSize::SECTION), storage);
    memory.iter().try_for_each(|(range, node)| hotplug.adopt_boot(*range, *node))?;
    // SAFETY: this kernel runs on QEMU's PCs only, which the start info of a PVH loader says in effect, and this is the
    // only place that takes the slots.
    let slots = unsafe { Slots::new() }?;
    let mut site = Site::new(&MODEL, ground, hotplug, slots, persistent);
    let (outcome, detail) = match plug::tell(name, &mut site) {
        Some(Ok(Told::Well)) => (Outcome::Passed, "".to_string()),
        Some(Ok(Told::Unsuited(why))) => (Outcome::Skipped, why.to_string()),
        Some(Err(trouble)) => (Outcome::Failed, trouble.to_string()),
        None => (Outcome::Failed, "there is no story of this name".to_string()),
    };
    let (detail, failure_points) = (format_args!("{detail}"), 0);
    tell(Event::Cell { scenario: name, machine, outcome, detail, failure_points });
    Ok(u64::from(outcome == Outcome::Failed))
}
