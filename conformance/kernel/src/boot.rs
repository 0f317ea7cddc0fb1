//! Boots the model from firmware's description of the machine, and then does what the command line requests.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use sparsemem::{BootError, BootEvent, Geometry, MemoryModel, MemoryRange, NodeId, PhysAddr, PhysRange};
use sparsemem_hotplug::{AdoptError, BlockSize, Hotplug, Limits, Storage};
use sparsemem_suite::{World, WorldWithEnvironment};

use crate::arch::firmware::{Firmware, FirmwareError};
use crate::arch::{Sizes, page_table};
use crate::boot_memory::{self, BootMemoryError};
use crate::dimm::Slots;
use crate::event::{Event, Outcome, send};
use crate::glue::MODEL;
use crate::paging::NoTable;
use crate::processors::{HardwareId, MOST};
use crate::scenarios::{device_of, run_all};
use crate::stories::{self, Ended, System};
use crate::world::KernelWorld;
use crate::{model, say};

/// The reason why the kernel cannot continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// The description of the machine is not valid.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The memory cannot be used.
    #[error(transparent)]
    Memory(#[from] BootMemoryError),
    /// The model has no free writer.
    #[error("the model did not come up: another writer has it")]
    Written,
    /// The model did not come up.
    #[error("the model did not come up: {0}")]
    Boot(#[from] BootError),
    /// Memory of boot cannot be registered for hotplug.
    #[error("memory of boot cannot be registered: {0}")]
    Adopt(#[from] AdoptError),
    /// Persistent memory cannot be reached.
    #[error(transparent)]
    Persistent(#[from] NoTable),
}

/// Boots, and does what the command line requests. Returns the number of failed cells.
pub(crate) fn run(handed_over: PhysAddr) -> Result<u64, KernelError> {
    let firmware = Firmware::read(handed_over)?;
    let line = firmware.command_line();
    let memory = boot_memory::memory(&firmware)?;
    let others = Others {
        persistent: firmware.persistent()?,
        withheld: boot_memory::withheld(&firmware)?,
        processors: processors(&firmware)?,
        rounds: line.rounds(),
    };
    let mut world = KernelWorld::new();
    let ranges = memory.iter().map(|(range, node)| MemoryRange::from_bytes::<Sizes>(*range, *node));
    let on_event = &mut |event: BootEvent| say!("boot: {event:?}");
    let mut writer = MODEL.write().ok_or(KernelError::Written)?;
    writer.reserve(boot_memory::may_come(&firmware, &memory)?);
    let summary = writer.boot(world.env_mut(), ranges.clone(), on_event)?;
    drop(writer);
    boot_memory::open_heap()?;
    world.end_boot();
    send(Event::Hello { backend: MODEL.name(), depth: page_table::levels(), geometry: Sizes::NAME });
    let failed = match line.run() {
        "look" => {
            model::draw(&memory, summary, &world);
            0
        }
        "scenarios" => {
            let withheld =
                others.withheld.map(|(range, _)| device_of(range)).filter(|range| !range.is_empty());
            let device = others.persistent.map(|(range, _)| range).or(withheld);
            device.map_or(Ok(()), |range| world.lend(range))?;
            run_all(&mut world, line.machine(), &ranges.collect::<Vec<_>>())
        }
        story => run_story(story, line.machine(), &memory, others, &mut world)?,
    };
    send(Event::End { failed });
    Ok(failed)
}

/// The processors of the machine, as many as this kernel uses.
fn processors(firmware: &Firmware) -> Result<ArrayVec<HardwareId, MOST>, FirmwareError> {
    let mut found = ArrayVec::new();
    firmware.processors(&mut |id| _ = found.try_push(id))?;
    Ok(found)
}

/// The things that boot leaves alone: memory, each with its node, processors, and a word of the command line.
#[derive(Clone, Debug)]
struct Others {
    /// Persistent memory.
    persistent: Option<(PhysRange, NodeId)>,
    /// RAM that the command line keeps from boot.
    withheld: Option<(PhysRange, NodeId)>,
    /// All processors, the one that booted among them.
    processors: ArrayVec<HardwareId, MOST>,
    /// The number of rounds that the command line asks for.
    rounds: Option<u64>,
}

/// Runs one story on the live model.
fn run_story(
    name: &str,
    machine: &str,
    memory: &[(PhysRange, NodeId)],
    others: Others,
    world: &mut KernelWorld,
) -> Result<u64, KernelError> {
    let (mut blocks, mut resources) = (vec![None; 1024], vec![None; 128]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let mut hotplug = Hotplug::new(&MODEL, Limits::new(BlockSize::SECTION), storage);
    memory.iter().try_for_each(|(range, node)| hotplug.adopt_boot(*range, *node))?;
    // SAFETY: this kernel runs on QEMU's boards only, and this is the only place that takes the slots.
    let slots = unsafe { Slots::new() };
    let Others { persistent, withheld, processors, rounds } = others;
    let mut system = System { world, hotplug, slots, persistent, withheld, processors, rounds };
    let (outcome, detail) = match stories::run(name, &mut system) {
        Some(Ok(Ended::Passed)) => (Outcome::Passed, "".to_string()),
        Some(Ok(Ended::Counted(counts))) => (Outcome::Passed, counts),
        Some(Ok(Ended::NotApplicable(why))) => (Outcome::NotApplicable, why.to_string()),
        Some(Ok(Ended::Skipped(why))) => (Outcome::Skipped, why.to_string()),
        Some(Err(error)) => (Outcome::Failed, error.to_string()),
        None => (Outcome::Failed, "there is no story with this name".to_string()),
    };
    let (detail, failure_points) = (format_args!("{detail}"), 0);
    send(Event::Cell { scenario: name, machine, outcome, detail, failure_points });
    Ok(u64::from(outcome == Outcome::Failed))
}
