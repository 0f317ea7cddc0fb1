//! The model with a compressed index on the simulated machine, and its numbering beside plain arithmetic.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;
use sparsemem_bounded_array::FrameIndex as _;
use sparsemem_compressed_index::{CompressedIndex, Squeezed};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    BootError, BootEvent, BootModel as _, BootSummary, Geometry, InstallError, MemoryModel, MemoryRange,
    NodeId, Page, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, Reclaim, SectionLoss, SectionNr,
    SectionShape,
};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, Which};

enum Readers {}
type Model<G> = CompressedIndex<G, Page, HostRcu<Readers>>;

const NODE: NodeId = NodeId::new(0);

fn machine() -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 20)).unwrap();
    Machine::new(&MachineConfig::new().memory(memory, NODE)).unwrap()
}

/// `count` sections from `first` on.
fn sections<G: Geometry>(first: u64, count: u64) -> PfnRange {
    let frames = G::PAGES_PER_SECTION;
    PfnRange::from_start_count(Pfn::new(first * frames), PageCount::new(count * frames)).unwrap()
}

fn boot<G: Geometry>(
    model: &Model<G>,
    machine: &mut Machine,
    memory: &[PfnRange],
) -> Result<(BootSummary, Vec<BootEvent>), BootError> {
    let mut events = Vec::new();
    let ranges = memory.iter().map(|frames| MemoryRange { frames: *frames, node: NODE });
    let summary = model.write().unwrap().boot(machine, ranges, &mut |event| events.push(event))?;
    Ok((summary, events))
}

/// The reason why an installation failed, which lost nothing.
fn why(done: Result<(), InstallError>) -> SectionLoss {
    let Err(InstallError::NoMetadata { why, lost, .. }) = done else { panic!("{done:?}") };
    assert!(lost.is_empty() && why.to_string().contains("reserve room"), "{why}");
    why
}

/// Sections of RAM: up to six pieces anywhere in the address space of a PC.
fn pieces() -> impl Strategy<Value = Vec<PfnRange>> {
    let piece = (0..X86_64::NR_SECTIONS, 1..64_u64).prop_map(|(first, count)| {
        // Spread over all powers of two, so that there are low and high holes.
        let first = first >> (first % 19);
        sections::<X86_64>(first, count.min(X86_64::NR_SECTIONS - first))
    });
    prop::collection::vec(piece, 1..6)
}

proptest! {
    #[test]
    fn a_frame_is_found_again_by_its_element(ram in pieces(), offset in 0..X86_64::PAGES_PER_SECTION) {
        let index = Squeezed::of::<X86_64>(ram.iter().copied());
        let mut elements = BTreeMap::new();
        for (nr, part) in ram.iter().flat_map(|range| range.by_section::<X86_64>()) {
            prop_assert!(index.holds(nr.first_pfn::<X86_64>().unwrap()), "{nr} of {ram:?}");
            for pfn in [part.start().get(), part.start().get() + offset, part.end().get() - 1] {
                let element = index.element(Pfn::new(pfn));
                prop_assert_eq!(index.frame(element), Pfn::new(pfn));
                prop_assert_eq!((element ^ pfn) % X86_64::PAGES_PER_SECTION, 0, "{:#x}", pfn);
                prop_assert!(element <= pfn);
                elements.insert(pfn, element);
            }
        }
        prop_assert!(elements.values().is_sorted_by(|one, next| one < next), "two frames share an element");
    }

    #[test]
    fn only_zeros_are_left_out(ram in pieces()) {
        let index = Squeezed::of::<X86_64>(ram.iter().copied());
        let used = ram.iter().flat_map(|range| range.by_section::<X86_64>()).fold(0, |used, (nr, _)| used | nr.get());
        prop_assert_eq!(used & (index.hole() >> X86_64::PFN_SECTION_SHIFT), 0);
        for nr in (0..19).map(|bit| SectionNr::new(1 << bit)) {
            let clear = index.hole() & nr.first_pfn::<X86_64>().unwrap().get() == 0;
            prop_assert_eq!(index.holds(nr.first_pfn::<X86_64>().unwrap()), clear);
        }
    }
}

#[test]
fn holes_have_no_descriptors() {
    let (mut model, mut machine) = (Model::<X86_64>::new(), machine());
    // Four sockets of two sections, 8 TiB apart: a flat array would take more than the machine has.
    let ram: Vec<_> = (0..4).map(|socket| sections::<X86_64>(socket << 16, 2)).collect();
    let before = model.footprint().total_bytes();
    let (summary, events) = boot(&model, &mut machine, &ram).unwrap();
    assert_eq!((summary.sections, summary.runs, events), (8, 4, vec![]));
    let footprint = model.footprint();
    assert_eq!(footprint.memmap_bytes, 8 * X86_64::PAGES_PER_SECTION * 64);
    assert_eq!(machine.balance().total().bytes, footprint.total_bytes() - before);
    let mut found = BTreeMap::new();
    for pfn in ram.iter().flat_map(|frames| [frames.start().get(), frames.end().get() - 1]).map(Pfn::new) {
        let page = model.lookup(pfn).unwrap();
        assert_eq!(found.insert(page, pfn), None);
        // SAFETY: the frame is valid, and nothing changes the model.
        assert_eq!(unsafe { model.lookup_unchecked(pfn) }, page);
        // SAFETY: as above.
        assert_eq!(unsafe { model.pfn_of(page) }, pfn);
    }
    let numbers: Vec<u64> = model.present_sections().map(SectionNr::get).collect();
    assert_eq!(numbers, [0, 1, 1 << 16, (1 << 16) + 1, 2 << 16, (2 << 16) + 1, 3 << 16, (3 << 16) + 1]);
    // Frames in the holes have the elements of others, and none of their descriptors.
    for hole in [2, 5, 1 << 15, (1 << 16) + 2, 4 << 16].map(|nr| sections::<X86_64>(nr, 1).start()) {
        assert_eq!(model.lookup(hole), None, "{hole}");
        assert_eq!(
            model.valid_ranges(PfnRange::from_start_count(hole, PageCount::new(512)).unwrap()).count(),
            0
        );
    }
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

#[test]
fn memory_with_another_bit_is_refused() {
    let (mut model, mut machine) = (Model::<Tiny>::new(), machine());
    boot(&model, &mut machine, &[sections::<Tiny>(0, 1), sections::<Tiny>(4, 1)]).unwrap();
    let before = machine.state_digest();
    let mut writer = model.write().unwrap();
    let array = sections::<Tiny>(0, 5);
    for nr in [1, 2, 3, 6, 7] {
        let refused = writer.install(&mut machine, sections::<Tiny>(nr, 1), NODE);
        assert_eq!(why(refused), SectionLoss::NotNumbered { array }, "section {nr}");
    }
    assert_eq!(machine.state_digest(), before);
    drop(writer);
    model.tear_down(&mut machine).unwrap();
    // With a reserve the bits of its frames are numbered, too.
    model.write().unwrap().reserve(sections::<Tiny>(5, 1));
    boot(&model, &mut machine, &[sections::<Tiny>(0, 1), sections::<Tiny>(4, 1)]).unwrap();
    let mut writer = model.write().unwrap();
    writer.install(&mut machine, sections::<Tiny>(5, 1), NODE).unwrap();
    writer.install(&mut machine, sections::<Tiny>(1, 1), NODE).unwrap();
    let refused = writer.install(&mut machine, sections::<Tiny>(2, 1), NODE);
    assert_eq!(why(refused), SectionLoss::NotNumbered { array: sections::<Tiny>(0, 6) });
    let undone = writer.undo_install(&mut machine, sections::<Tiny>(1, 1)).unwrap();
    assert_eq!((undone.gone, undone.lost.is_empty()), (1, true));
    drop(writer);
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

#[test]
fn a_machine_without_a_zero_has_the_flat_model() {
    let (mut model, mut machine) = (Model::<Tiny>::new(), machine());
    let ram = [sections::<Tiny>(0, 2), sections::<Tiny>(6, 2)];
    assert_eq!(boot(&model, &mut machine, &ram).unwrap().0.sections, 4);
    let distance = |one: PfnRange, other: PfnRange| {
        let [one, other] = [one, other].map(|frames| model.lookup(frames.start()).unwrap().addr().get());
        (other - one) / size_of::<sparsemem_core::Page>()
    };
    assert_eq!(distance(ram[0], ram[1]) as u64, 6 * Tiny::PAGES_PER_SECTION, "the hole has descriptors");
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

#[test]
fn every_allocation_may_fail() {
    let (mut model, mut machine) = (Model::<Tiny>::new(), machine());
    let ram = [sections::<Tiny>(1, 1), sections::<Tiny>(5, 1)];
    for nth in 0.. {
        machine.faults().fail_nth(Which::All, nth);
        let (summary, events) = boot(&model, &mut machine, &ram).unwrap();
        let refused = machine.faults().refused();
        machine.faults().heal();
        let (up, lost) = if refused > 0 { (0, 2) } else { (2, 0) };
        assert_eq!((summary.sections, summary.lost, events.len() as u64), (up, lost, lost), "{events:?}");
        let guard = HostRcu::<Readers>::enter();
        assert_eq!(model.lookup_with(ram[1].start(), &guard).is_some(), refused == 0);
        drop(guard);
        model.tear_down(&mut machine).unwrap();
        assert!(machine.balance().is_zero());
        if refused == 0 {
            assert_eq!(nth, 1, "a boot makes one request");
            return;
        }
    }
}

/// An iterator over other ranges from its `switch`-th iteration on: its clones count together.
fn fickle(switch: u32) -> impl Iterator<Item = MemoryRange> + Clone {
    let (passes, mut pass) = (Rc::new(Cell::new(0)), None);
    std::iter::from_fn(move || {
        let ranges = pass.get_or_insert_with(|| {
            passes.set(passes.get() + 1);
            let answer: &[_] = if passes.get() < switch { &[(1, 2)] } else { &[(0, 2), (4, 1)] };
            answer
                .iter()
                .map(|(first, count)| sections::<Tiny>(*first, *count))
                .collect::<Vec<_>>()
                .into_iter()
        });
        ranges.next().map(|frames| MemoryRange { frames, node: NODE })
    })
}

#[test]
fn ranges_that_change_between_iterations_break_nothing() {
    for switch in 1..12 {
        let (mut model, mut machine) = (Model::<Tiny>::new(), machine());
        let mut lost = 0;
        let boot = model.write().unwrap().boot(&mut machine, fickle(switch), &mut |event| {
            lost += u64::from(matches!(event, BootEvent::SectionLost { .. }));
        });
        let summary = boot.unwrap();
        assert_eq!((summary.lost, summary.sections), (lost, model.present_sections().count() as u64));
        model.tear_down(&mut machine).unwrap();
        assert!(machine.balance().is_zero(), "{switch}");
    }
}
