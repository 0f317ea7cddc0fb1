//! Random operations, beside a map of the subsections.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::presets::Tiny;
use sparsemem_core::{
    BootModel as _, LookupError, MemoryModel, Pfn, PfnRange, Reclaim, SectionFlags, SectionNr, SectionShape,
};
use sparsemem_machine::{HostRcu, Machine};

use super::{Model, NODE, boot, machine, memory, sections, subsections};

enum Readers {}
type Tested = Model<HostRcu<Readers>>;

/// Frames that lookups are compared for: all of the geometry and some beyond it.
const FRAMES: u64 = Tiny::MAX_PFN + 16;
/// Subsections of a section.
const PARTS: u64 = Tiny::SUBSECTIONS_PER_SECTION as u64;

/// Everything that is known of a model: the populated subsections, and whether each is online; and the early sections.
#[derive(Clone, Default, PartialEq, Debug)]
struct Map {
    populated: BTreeMap<u64, bool>,
    early: BTreeSet<u64>,
}

impl Map {
    fn is_valid(&self, frame: u64) -> bool {
        self.early.contains(&(frame / Tiny::PAGES_PER_SECTION))
            || self.populated.contains_key(&(frame / Tiny::PAGES_PER_SUBSECTION))
    }

    fn is_online(&self, frame: u64) -> bool {
        self.populated.get(&(frame / Tiny::PAGES_PER_SUBSECTION)) == Some(&true)
    }

    fn remove(&mut self, subsection: u64) {
        self.populated.remove(&subsection);
        let section = subsection / PARTS;
        if self.populated.range(section * PARTS..(section + 1) * PARTS).next().is_none() {
            self.early.remove(&section);
        }
    }

    fn is_present(&self, section: u64) -> bool {
        self.populated.range(section * PARTS..(section + 1) * PARTS).next().is_some()
    }
}

/// Compares every answer of the model with the map.
fn compare(model: &Tested, map: &Map) {
    let mut descriptors = BTreeSet::new();
    for frame in 0..FRAMES {
        let pfn = Pfn::new(frame);
        assert_eq!(model.is_valid(pfn), map.is_valid(frame), "{pfn}");
        let guard = HostRcu::<Readers>::enter();
        assert_eq!(model.lookup_online_with(pfn, &guard).is_some(), map.is_online(frame), "{pfn}");
        let found = model.lookup_with(pfn, &guard);
        assert_eq!(model.explain(pfn, &guard).ok(), found);
        let Some(page) = found else { continue };
        assert!(descriptors.insert(page), "two frames have the descriptor of {pfn}");
        // SAFETY: the frame is valid, and this test is the only writer.
        assert_eq!(unsafe { model.lookup_unchecked(pfn) }, page);
        // SAFETY: as above.
        assert_eq!(unsafe { model.pfn_of(page) }, pfn);
    }
    let present: Vec<u64> = model.present_sections().map(SectionNr::get).collect();
    let expected: Vec<u64> =
        (0..FRAMES / Tiny::PAGES_PER_SECTION).filter(|section| map.is_present(*section)).collect();
    assert_eq!(present, expected);
    let all = PfnRange::new(Pfn::new(0), Pfn::new(FRAMES)).unwrap();
    let valid: Vec<u64> = model.valid_ranges(all).frames().map(Pfn::get).collect();
    assert_eq!(valid, (0..FRAMES).filter(|frame| map.is_valid(*frame)).collect::<Vec<_>>());
}

/// Numbers that look random: a multiplicative generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One random operation on a subsection, on model and map.
fn step(random: &mut Random, model: &Tested, machine: &mut Machine, map: &mut Map) {
    // One more section than the array has on each side.
    let subsection = random.below(8 * PARTS);
    let frames = subsections(subsection, 1);
    let state = map.populated.get(&subsection).copied();
    let inside = (1..7).contains(&(subsection / PARTS));
    let mut writer = model.write().unwrap();
    let before = map.clone();
    let operation = random.below(4);
    let (expected, done) = match operation {
        0 => (state.is_none() && inside, writer.install(machine, frames, NODE).is_ok()),
        1 => (state == Some(false), writer.retire(machine, frames).is_ok()),
        2 => (state == Some(false), writer.set_online(frames).is_ok()),
        _ => (state == Some(true), writer.set_offline(frames).is_ok()),
    };
    drop(writer);
    assert_eq!(done, expected, "operation {operation} on {frames}, {state:?}");
    match operation {
        _ if !done => {}
        1 => map.remove(subsection),
        _ => drop(map.populated.insert(subsection, operation == 2)),
    }
    // The array stays as it is, except that it goes with its last subsection: keep one.
    if map.populated.is_empty() {
        *map = before;
        model.write().unwrap().install(machine, subsections(8, 1), NODE).unwrap();
        *map = Map { populated: [(8, false)].into(), early: BTreeSet::new() };
    }
}

#[test]
fn answers_are_those_of_a_map() {
    for seed in 0..8 {
        let (mut model, mut machine) = (Tested::new(), machine());
        model.write().unwrap().reserve(sections(1, 6));
        let ram = [memory(subsections(5, 2)), memory(subsections(8, 4)), memory(subsections(23, 1))];
        let (summary, events) = boot(&model, &mut machine, &ram);
        assert_eq!((summary.sections, summary.runs, summary.lost, events), (3, 2, 0, vec![]));
        let populated = [5, 6, 8, 9, 10, 11, 23].map(|subsection| (subsection, true)).into();
        let mut map = Map { populated, early: [1, 2, 5].into() };
        compare(&model, &map);
        let mut random = Random(seed);
        for _ in 0..400 {
            step(&mut random, &model, &mut machine, &mut map);
            compare(&model, &map);
        }
        model.tear_down(&mut machine).unwrap();
        assert!(machine.balance().is_zero());
        compare(&model, &Map::default());
    }
}

#[test]
fn a_reason_names_what_is_missing() {
    let (mut model, mut machine) = (Tested::new(), machine());
    boot(&model, &mut machine, &[memory(sections(2, 1)), memory(sections(4, 1))]);
    model.write().unwrap().install(&mut machine, subsections(3 * PARTS + 1, 1), NODE).unwrap();
    let guard = HostRcu::<Readers>::enter();
    let reason = |frame| model.explain(Pfn::new(frame), &guard).unwrap_err();
    let absent = |frame: u64| {
        let pfn = Pfn::new(frame);
        LookupError::AbsentSection { pfn, section: pfn.section::<Tiny>() }
    };
    assert_eq!([reason(0), reason(15), reason(40)], [absent(0), absent(15), absent(40)]);
    let pfn = sections(3, 1).start();
    let (section, subsection) = (pfn.section::<Tiny>(), pfn.subsection::<Tiny>());
    assert_eq!(reason(pfn.get()), LookupError::AbsentSubsection { pfn, section, subsection });
    let last = Pfn::new(Tiny::MAX_PFN - 1);
    for pfn in [Tiny::MAX_PFN, u64::MAX, 1 << 63 | 16].map(Pfn::new) {
        assert_eq!(model.explain(pfn, &guard), Err(LookupError::BeyondMaximum { pfn, last }));
        assert!(!model.is_valid(pfn), "{pfn}");
    }
    drop(guard);
    model.tear_down(&mut machine).unwrap();
}

/// A device in a section of RAM: the flag stays until the section is absent.
#[test]
fn a_shared_section_is_marked_until_it_is_absent() {
    let (mut model, mut machine) = (Tested::new(), machine());
    boot(&model, &mut machine, &[memory(sections(2, 2))]);
    let nr = sections(3, 1).start().section::<Tiny>();
    let mut writer = model.write().unwrap();
    writer.taint(sections(3, 1)).unwrap();
    assert!(model.section(nr).flags.contains(SectionFlags::TAINT_ZONE_DEVICE | SectionFlags::ONLINE));
    writer.set_offline(sections(3, 1)).unwrap();
    assert!(writer.retire(&mut machine, sections(3, 1)).unwrap().lost.is_empty());
    writer.install(&mut machine, sections(3, 1), NODE).unwrap();
    assert_eq!(model.section(nr).flags, SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP);
    drop(writer);
    model.tear_down(&mut machine).unwrap();
}
