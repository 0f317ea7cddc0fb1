//! The model of one array, beside plain maps, on the simulated machine.

mod against_a_map;
mod bounds;
mod callbacks;
mod shortage;

use sparsemem_bounded_array::{ArrayModel, Straight};
use sparsemem_core::presets::Tiny;
use sparsemem_core::{
    BootEvent, BootSummary, Geometry, MemoryModel, MemoryRange, NodeId, Page, PageCount, Pfn, PfnRange,
    PhysAddr, PhysRange, Reclaim, SectionShape,
};
use sparsemem_machine::{Machine, MachineConfig};

/// A model of tiny sections: eight frames in four subsections.
type Model<R> = ArrayModel<Tiny, Page, R, Straight>;

/// The node of all memory but that of tests about nodes.
const NODE: NodeId = NodeId::new(0);

/// A machine with far more memory than the models are booted with.
fn machine() -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 20)).unwrap();
    Machine::new(&MachineConfig::new().memory(memory, NODE)).unwrap()
}

/// `count` subsections from a subsection of the whole machine on.
fn subsections(first: u64, count: u64) -> PfnRange {
    let frames = Tiny::PAGES_PER_SUBSECTION;
    PfnRange::from_start_count(Pfn::new(first * frames), PageCount::new(count * frames)).unwrap()
}

/// `count` sections from `first` on.
fn sections(first: u64, count: u64) -> PfnRange {
    let each = u64::from(Tiny::SUBSECTIONS_PER_SECTION);
    subsections(first * each, count * each)
}

/// Memory of one node.
fn memory(frames: PfnRange) -> MemoryRange {
    MemoryRange { frames, node: NODE }
}

/// Boots, and returns all events.
fn boot<G: Geometry, R: Reclaim>(
    model: &ArrayModel<G, Page, R, Straight>,
    machine: &mut Machine,
    memory: &[MemoryRange],
) -> (BootSummary, Vec<BootEvent>) {
    let mut events = Vec::new();
    let mut writer = model.write().unwrap();
    let summary = writer.boot(machine, memory.iter().copied(), &mut |event| events.push(event)).unwrap();
    (summary, events)
}
