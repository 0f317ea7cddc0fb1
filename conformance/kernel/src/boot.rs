//! From what firmware says of the machine to a model that is up, and then to what the command line asks for.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem::{
    ArrayPlace, BootError, BootEvent, ByteLen, MemoryModel, MemoryRange, NodeId, PhysAddr, PhysRange,
    VirtAddr, VirtRange, presets::X86_64,
};
use sparsemem_hotplug::{AdoptError, BlockSize, Hotplug, Limits, Storage};
use sparsemem_suite::{Surroundings, World};

use crate::command_line::CommandLine;
use crate::dimm::Slots;
use crate::event::{Event, Outcome, tell};
use crate::firmware::acpi::TableError;
use crate::firmware::nfit;
use crate::firmware::start_info::{StartInfo, StartInfoError};
use crate::glue::{Array, MODEL};
use crate::memory::heap::{self, NoHeap};
use crate::memory::survey::{self, SurveyError};
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
    /// The table of persistent memory is broken.
    #[error("firmware: {0}; nothing is known for sure of persistent memory then")]
    Table(#[from] TableError),
    /// Memory cannot be used.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// There is no room for the heap.
    #[error(transparent)]
    Heap(#[from] NoHeap),
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
    #[error("{0}")]
    Reach(plug::Trouble),
}

impl From<plug::Trouble> for Trouble {
    fn from(trouble: plug::Trouble) -> Self {
        Self::Reach(trouble)
    }
}

/// Boots, and does what is asked for. Gives how many cells failed.
pub(crate) fn run(start_info: PhysAddr) -> Result<u64, Trouble> {
    let info = StartInfo::at(start_info)?;
    let line = CommandLine::new(info.command_line());
    let memory = survey::memory(&info, line)?;
    let persistent = info.rsdp().map_or(Ok(None), nfit::persistent)?;
    let array = VirtRange::from_start_count(VirtAddr::new(Array::START), ByteLen::new(Array::BYTES));
    let mut ground = Ground::new(array.filter(|_| cfg!(feature = "vmemmap")));
    let ranges = memory.iter().map(|(range, node)| MemoryRange::from_bytes::<X86_64>(*range, *node));
    let on_event = &mut |event: BootEvent| say!("boot: {event:?}");
    let mut writer = MODEL.write().ok_or(Trouble::Written)?;
    let summary = writer.boot(ground.env_mut(), ranges.clone(), on_event)?;
    drop(writer);
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
    let slots = unsafe { Slots::new() };
    let mut site = Site::new(&MODEL, ground, hotplug, slots, persistent);
    let (outcome, detail) = match plug::tell(name, &mut site) {
        Some(Ok(Told::Well)) => (Outcome::Passed, "".to_string()),
        Some(Ok(Told::NotApplicable(what))) => (Outcome::NotApplicable, what.to_string()),
        Some(Err(trouble)) => (Outcome::Failed, trouble.to_string()),
        None => (Outcome::Failed, "there is no story of this name".to_string()),
    };
    let (detail, failure_points) = (format_args!("{detail}"), 0);
    tell(Event::Cell { scenario: name, machine, outcome, detail, failure_points });
    Ok(u64::from(outcome == Outcome::Failed))
}
