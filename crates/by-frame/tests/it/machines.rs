//! The memory maps of real machines: every answer is that of the map.

use sparsemem_by_frame::map_bytes;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{EarlyFrames, MemoryRange, Pfn, PfnRange, SectionShape, initialise};
use sparsemem_fixture::Backend;
use sparsemem_machine::{Machine, MachineConfig, place};
use sparsemem_machine_files::{GeometryName, MachineFile};

use super::{ExactWords, PcByFrame, Tested, are, boot, frames, over, runs};

/// Frames of a subsection.
const SUB: u64 = X86_64::PAGES_PER_SUBSECTION;
/// Machines with more bytes between their lowest and their highest frame are left out: others have the same kinds of
/// holes.
const MOST_BYTES: u64 = 24 << 30;

/// The frames of the machine's map, and whether there are few enough.
fn ram(machine: &MachineFile) -> Option<Vec<MemoryRange>> {
    let is_small = machine.memory.iter().all(|(range, _)| range.end().get() <= MOST_BYTES);
    let of = |(range, node): &(_, _)| MemoryRange::from_bytes::<X86_64>(*range, *node);
    let ram: Vec<_> = machine.memory.iter().map(of).filter(|range| !range.frames.is_empty()).collect();
    (machine.geometry == GeometryName::X86_64 && is_small && !ram.is_empty()).then_some(ram)
}

/// Frames to ask about: all of each subsection in which a range ends, and the first and the last of the others.
fn asked(ram: &[PfnRange]) -> Vec<u64> {
    let end =
        ram.iter().map(|range| range.end().get()).max().unwrap().next_multiple_of(X86_64::PAGES_PER_SECTION);
    let is_edge = |start: u64| {
        let inside = |pfn: Pfn| (start + 1..start + SUB).contains(&pfn.get());
        ram.iter().any(|range| inside(range.start()) || inside(range.end()))
    };
    let of = |start: u64| {
        if is_edge(start) { (start..start + SUB).collect() } else { vec![start, start + SUB - 1] }
    };
    (0..end + 2 * SUB).step_by(usize::try_from(SUB).unwrap()).flat_map(of).collect()
}

/// Boots from a map, and compares.
fn compare<M: Tested>(model: &mut M, mut machine: Machine, memory: &[MemoryRange]) {
    let ram: Vec<_> = memory.iter().map(|range| range.frames).collect();
    let (summary, events) = boot(model, &mut machine, memory);
    assert_eq!(summary.lost, 0, "{events:?}");
    assert_eq!(model.early_frames(), EarlyFrames::Reported);
    ram.iter().for_each(|range| assert_eq!(initialise(model, *range), range.count()));
    are(model, asked(&ram), &|frame| ram.iter().any(|range| range.contains(Pfn::new(frame))), &|_| true);
    assert!(model.valid_ranges(frames(0, X86_64::MAX_PFN)).eq(runs::<X86_64>(&ram)), "the walk is the map");
    let mut inside = model.footprint();
    inside.plane_bytes -= map_bytes::<X86_64, _>(&memory.iter().copied()).get();
    assert_eq!(inside.plane_bytes, 0, "neither model has planes of its own");
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

#[test]
fn the_map_is_what_is_valid() {
    let mut compared = 0;
    for file in MachineFile::all().unwrap() {
        let Some(memory) = ram(&file) else { continue };
        let mut config = MachineConfig::new().vmemmap_bytes(1 << 30);
        config.memory.clone_from(&file.memory);
        let (mut model, machine): (PcByFrame, _) = over(Backend::Flat, &config);
        compare(&mut model, machine, &memory);
        compare(&mut *place::<ExactWords>(), Machine::new(&config).unwrap(), &memory);
        compared += 1;
    }
    assert!(compared >= 30, "only {compared} machines are small enough");
}
