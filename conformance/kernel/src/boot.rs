//! From what firmware says of the machine to a model that is up, and then to what the command line asks for.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem::{
    BootError, BootEvent, MemoryModel, MemoryRange, NodeId, PhysAddr, PhysRange, presets::X86_64,
};
use sparsemem_hotplug::{AdoptError, BlockSize, Hotplug, Limits, Storage};
use sparsemem_suite::{WorldWithEnvironment, World};

use crate::acpi::{self, TableError};
use crate::boot_memory::{self, BootMemoryError};
use crate::cpu::paging::{self, NoTable};
use crate::dimm::Slots;
use crate::event::{Event, Outcome, tell};
use crate::glue::MODEL;
use crate::loader::{StartInfo, StartInfoError};
use crate::scenarios::run_all;
use crate::stories::{self, System, Told};
use crate::world::KernelWorld;
use crate::{model, say};

/// Why the kernel cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// The loader's information is no use.
    #[error(transparent)]
    StartInfo(#[from] StartInfoError),
    /// The table of persistent memory is broken.
    #[error("firmware: {0}; nothing is known for sure of persistent memory then")]
    Table(#[from] TableError),
    /// Memory cannot be used.
    #[error(transparent)]
    Memory(#[from] BootMemoryError),
    /// There is no writer of the model to be had.
    #[error("the model did not come up: somebody else writes to it")]
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

/// Boots, and does what is asked for. Gives how many cells failed.
pub(crate) fn run(start_info: PhysAddr) -> Result<u64, KernelError> {
    let info = StartInfo::at(start_info)?;
    let line = info.command_line();
    let memory = boot_memory::memory(&info)?;
    let persistent = info.rsdp().map_or(Ok(None), acpi::nfit_persistent)?;
    let mut world = KernelWorld::new();
    let ranges = memory.iter().map(|(range, node)| MemoryRange::from_bytes::<X86_64>(*range, *node));
    let on_event = &mut |event: BootEvent| say!("boot: {event:?}");
    let mut writer = MODEL.write().ok_or(KernelError::Written)?;
    let summary = writer.boot(world.env_mut(), ranges.clone(), on_event)?;
    drop(writer);
    boot_memory::open_heap()?;
    world.end_boot();
    tell(Event::Hello { backend: MODEL.name(), depth: paging::levels(), geometry: "x86_64" });
    let failed = match line.run() {
        "look" => {
            model::draw(&memory, summary, &world);
            0
        }
        "scenarios" => {
            persistent.map_or(Ok(()), |(range, _)| world.lend(range))?;
            run_all(&mut world, line.machine(), &ranges.collect::<Vec<_>>())
        }
        story => tell_story(story, line.machine(), &memory, persistent, &mut world)?,
    };
    tell(Event::End { failed });
    Ok(failed)
}

/// Tells one story on the live model.
fn tell_story(
    name: &str,
    machine: &str,
    memory: &[(PhysRange, NodeId)],
    persistent: Option<(PhysRange, NodeId)>,
    world: &mut KernelWorld,
) -> Result<u64, KernelError> {
    let (mut blocks, mut resources) = (vec![None; 1024], vec![None; 128]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let mut hotplug = Hotplug::new(&MODEL, Limits::new(BlockSize::SECTION), storage);
    memory.iter().try_for_each(|(range, node)| hotplug.adopt_boot(*range, *node))?;
    // SAFETY: this kernel runs on QEMU's PCs only, which the start info of a PVH loader says in effect, and this is the
    // only place that takes the slots.
    let slots = unsafe { Slots::new() };
    let (outcome, detail) = match stories::tell(name, &mut System { world, hotplug, slots, persistent }) {
        Some(Ok(Told::Well)) => (Outcome::Passed, "".to_string()),
        Some(Ok(Told::NotApplicable(why))) => (Outcome::NotApplicable, why.to_string()),
        Some(Err(error)) => (Outcome::Failed, error.to_string()),
        None => (Outcome::Failed, "there is no story of this name".to_string()),
    };
    let (detail, failure_points) = (format_args!("{detail}"), 0);
    tell(Event::Cell { scenario: name, machine, outcome, detail, failure_points });
    Ok(u64::from(outcome == Outcome::Failed))
}
