//! Runs every scenario of the suite, on a separate model next to the live one.

use alloc::string::ToString;
use sparsemem::{
    ArrayPlace, Config, MemoryModel, MemoryRange, Page, PageCount, PfnRange, PhysAddr, PhysRange, PlaceClaim,
    SectionShape, Selected, VirtAddr, selected_len,
};
use sparsemem_suite::{ALL, ArrayFacts, Capabilities, Ended, NotRun, Pair, Scenario, World, run};
use spin::Mutex;

use crate::arch::{SCENARIOS_ARRAY, Sizes};
use crate::event::{Event, Outcome, send};
use crate::glue::Readers;
use crate::model::capabilities;
use crate::world::KernelWorld;

/// The configuration of the model under test: that of the kernel, at another place.
struct UnderTest;

impl Config for UnderTest {
    type Geometry = Sizes;
    type Page = Page;
    type Reclaim = Readers;
    type Array = Place;
}

/// The place of its array, if it has one.
struct Place;

// SAFETY: (1) nothing else of this kernel is mapped there, (2) nor in the same blocks of 512 GiB, whose borders the place
// begins and ends on; (3) where tables have entries for more than that, the direct map has the same entry, for ever; (4)
// the claim is a static of this function alone.
unsafe impl ArrayPlace for Place {
    const START: u64 = SCENARIOS_ARRAY;
    const BYTES: u64 = Sizes::MAX_PFN * size_of::<Page>() as u64;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new();
        &CLAIM
    }
}

type Model = Selected<UnderTest, { selected_len::<UnderTest>() }>;

static MODEL: Mutex<Model> = Mutex::new(Model::new());

/// Runs all scenarios, reports each result to the host, and counts the failed ones.
pub(crate) fn run_all(world: &mut KernelWorld, machine: &str, memory: &[MemoryRange]) -> u64 {
    let array = ArrayFacts { start: VirtAddr::new(Place::START), len_bytes: Place::BYTES };
    let can = capabilities(array);
    if let Some(array) = can.array {
        world.expect_array(array.start);
    }
    reserve(world, memory);
    let outcomes = ALL.iter().map(|scenario| {
        world.begin_boot();
        run_one(scenario, world, can, machine, memory)
    });
    outcomes.filter(|outcome| *outcome == Outcome::Failed).count() as u64
}

/// Sections past the end of memory that scenarios plug, where there is no device.
const ROOM: PageCount = PageCount::new(6 * Sizes::PAGES_PER_SECTION);

/// The absent sections that scenarios want to follow memory.
const FRESH: u64 = 4;

/// The part of memory withheld from boot that scenarios get as a device: what lies past the sections that they want to be
/// absent.
pub(crate) fn device_of(withheld: PhysRange) -> PhysRange {
    let start = withheld.start().get().saturating_add(FRESH * Sizes::SECTION_SIZE);
    PhysRange::new(PhysAddr::new(start).min(withheld.end()), withheld.end()).unwrap_or_default()
}

/// Reserves room for what scenarios add past the end of memory, up to the end of the device that can be plugged.
fn reserve(world: &KernelWorld, memory: &[MemoryRange]) {
    let end = memory.iter().map(|range| range.frames.end()).max().unwrap_or_default();
    let device =
        world.spare().map_or(end.saturating_add(ROOM), |spare| spare.range().whole_frames::<Sizes>().end());
    if let (Ok(frames), Some(mut writer)) = (PfnRange::new(end, device), MODEL.lock().write()) {
        writer.reserve(frames);
    }
}

/// Runs a scenario and reports its result to the host.
fn run_one(
    scenario: &Scenario,
    world: &mut KernelWorld,
    can: Capabilities,
    machine: &str,
    memory: &[MemoryRange],
) -> Outcome {
    let mut model = MODEL.lock();
    let mut failure_points = 0;
    let (outcome, detail) = match run(scenario, &mut Pair::new(&mut *model, world), can, memory) {
        Ok(Ended::Passed(tally)) => {
            failure_points = tally.failure_points;
            (Outcome::Passed, "".to_string())
        }
        Ok(Ended::NotRun(NotRun::NotApplicable(what))) => (Outcome::NotApplicable, what.to_string()),
        Ok(Ended::NotRun(NotRun::Skipped(why))) => (Outcome::Skipped, why.to_string()),
        Err(failure) => (Outcome::Failed, failure.to_string()),
    };
    let (scenario, detail) = (scenario.name, format_args!("{detail}"));
    send(Event::Cell { scenario, machine, outcome, detail, failure_points });
    outcome
}
