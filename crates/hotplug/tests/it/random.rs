//! Random sequences of all operations, on every model, against plain sets of subsections.
//!
//! The sets say of each operation whether it has to succeed, and what the sections, blocks and resources are after it.
//! What fails, by bad input or by a refused allocation, has to leave the complete state as it was.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Model, Op, SECTIONS, System};
use proptest::prelude::*;
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{Geometry, MemoryModel, Page, PfnRange, SectionFlags, SectionShape, SubsectionIdx};
use sparsemem_fixture::{Backend, Fixture, any_model, sections, subsections};
use sparsemem_hotplug::{BlockSize, BlockState, Limits, ResourceKind};
use sparsemem_machine::{HostRcu, Which};

/// An operation in numbers of subsections, counted over all sections.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: What,
    first: u64,
    count: u64,
    /// The number of the request for memory that is refused, if any.
    fails: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    AddMemory,
    RemoveMemory,
    Online,
    Offline,
    AddDevice,
    RemoveDevice,
}

/// The state that there should be, by the number of the subsection.
#[derive(Clone, Default)]
struct Sets {
    per_section: u64,
    ram: BTreeSet<u64>,
    devices: Vec<(u64, u64)>,
    online: BTreeSet<u64>,
    blocks: BTreeMap<u64, BlockState>,
    early: BTreeSet<u64>,
    tainted: BTreeSet<u64>,
}

impl Sets {
    fn boot(per_section: u64, early: &[(u64, u64)]) -> Self {
        let mut sets = Self { per_section, ..Self::default() };
        for (first, count) in early {
            let range = *first..first + count;
            sets.ram.extend(range.clone());
            sets.online.extend(range.clone());
            for section in range.map(|sub| sub / per_section) {
                sets.blocks.insert(section, BlockState::Online);
                sets.early.insert(section);
            }
        }
        sets
    }

    fn is_device(&self, sub: u64) -> bool {
        self.devices.iter().any(|(first, count)| (*first..first + count).contains(&sub))
    }

    fn is_populated(&self, sub: u64) -> bool {
        self.ram.contains(&sub) || self.is_device(sub)
    }

    /// True if a step has to succeed.
    fn allows(&self, step: &Step) -> bool {
        let Step { first, count, .. } = *step;
        let range = first..first + count;
        let in_blocks = first % self.per_section == 0 && count % self.per_section == 0;
        let blocks: Vec<_> =
            range.clone().map(|sub| self.blocks.get(&(sub / self.per_section)).copied()).collect();
        let all_are = |state| in_blocks && blocks.iter().all(|block| *block == Some(state));
        let all_ram = || range.clone().all(|sub| self.ram.contains(&sub));
        let free = || !range.clone().any(|sub| self.is_populated(sub));
        match step.what {
            What::AddMemory => in_blocks && free() && blocks.iter().all(Option::is_none),
            What::RemoveMemory => all_are(BlockState::Offline) && all_ram(),
            What::Online => all_are(BlockState::Offline),
            What::Offline => all_are(BlockState::Online) && all_ram(),
            What::AddDevice => free(),
            What::RemoveDevice => self.devices.contains(&(first, count)),
        }
    }

    fn apply(&mut self, step: &Step) {
        let Step { first, count, .. } = *step;
        let range = first..first + count;
        let sections = first / self.per_section..(first + count).div_ceil(self.per_section);
        match step.what {
            What::AddMemory => {
                self.ram.extend(range);
                self.blocks.extend(sections.map(|nr| (nr, BlockState::Offline)));
            }
            What::RemoveMemory => {
                self.ram.retain(|sub| !range.contains(sub));
                self.blocks.retain(|nr, _| !sections.contains(nr));
            }
            What::Online => {
                self.online.extend(range);
                self.blocks.extend(sections.map(|nr| (nr, BlockState::Online)));
            }
            What::Offline => {
                self.online.retain(|sub| !range.contains(sub));
                self.blocks.extend(sections.map(|nr| (nr, BlockState::Offline)));
            }
            What::AddDevice => {
                self.devices.push((first, count));
                let borders = [first, first + count].into_iter().filter(|sub| sub % self.per_section != 0);
                self.tainted.extend(borders.map(|sub| sub / self.per_section));
            }
            What::RemoveDevice => self.devices.retain(|device| *device != (first, count)),
        }
        self.forget_empty_sections();
    }

    fn forget_empty_sections(&mut self) {
        let subs = |nr: u64| nr * self.per_section..(nr + 1) * self.per_section;
        let empty: Vec<_> = (0..SECTIONS).filter(|nr| !subs(*nr).any(|sub| self.is_populated(sub))).collect();
        self.early.retain(|nr| !empty.contains(nr));
        self.tainted.retain(|nr| !empty.contains(nr));
    }

    fn flags(&self, section: u64) -> SectionFlags {
        let mut subs = section * self.per_section..(section + 1) * self.per_section;
        if !subs.clone().any(|sub| self.is_populated(sub)) {
            return SectionFlags::empty();
        }
        let mut flags = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
        flags.set(SectionFlags::EARLY, self.early.contains(&section));
        flags.set(SectionFlags::TAINT_ZONE_DEVICE, self.tainted.contains(&section));
        flags.set(SectionFlags::ONLINE, subs.any(|sub| self.online.contains(&sub)));
        flags
    }

    /// Compares everything that can be seen.
    fn compare<M: Model>(&self, system: &System<M>) {
        for nr in 0..SECTIONS {
            let state = system.section(nr);
            assert_eq!(state.flags, self.flags(nr), "section {nr}");
            for index in 0..self.per_section {
                let sub = nr * self.per_section + index;
                let bit = SubsectionIdx::new(u32::try_from(index).unwrap());
                assert_eq!(state.subsections.contains(bit), self.is_populated(sub), "{nr}.{index}");
                assert_eq!(state.online.contains(bit), self.online.contains(&sub), "{nr}.{index}");
                self.compare_owner(system, sub);
            }
        }
        let blocks: BTreeMap<_, _> =
            system.hotplug.blocks().iter().map(|block| (block.nr.get(), block.state)).collect();
        assert_eq!(blocks, self.blocks);
    }

    /// The owner of a subsection, by resources, allocator and lookup.
    fn compare_owner<M: Model>(&self, system: &System<M>, sub: u64) {
        let pfn = subsections::<M::Geometry>(0, sub, 1).start();
        let kind = system.hotplug.resource_of(pfn).map(|resource| resource.kind);
        let expected = match (self.ram.contains(&sub), self.is_device(sub)) {
            (true, false) => Some(ResourceKind::SystemRam),
            (false, true) => Some(ResourceKind::Device),
            _ => None,
        };
        assert_eq!(kind, expected, "frame {pfn}");
        let online = self.online.contains(&sub);
        assert_eq!(system.allocator.has_usable(pfn.get()), online, "frame {pfn}");
        assert_eq!(system.model.read().online_page(pfn).is_some(), online, "frame {pfn}");
    }
}

impl Step {
    fn op<G: Geometry>(&self) -> Op {
        let frames: PfnRange = subsections::<G>(0, self.first, self.count);
        match self.what {
            What::AddMemory => Op::AddMemory(frames),
            What::RemoveMemory => Op::RemoveMemory(frames),
            What::Online => Op::Online(frames),
            What::Offline => Op::Offline(frames),
            What::AddDevice => Op::AddDevice(frames),
            What::RemoveDevice => Op::RemoveDevice(frames),
        }
    }
}

struct Sequence<'s> {
    early: &'s [(u64, u64)],
    steps: &'s [Step],
}

impl Sequence<'_> {
    fn run<M: Model>(&self, fixture: Fixture<M>) {
        let per_section = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        let early: Vec<_> =
            self.early.iter().map(|(first, count)| subsections::<M::Geometry>(0, *first, *count)).collect();
        let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
        let mut sets = Sets::boot(per_section, self.early);
        sets.compare(&system);
        for step in self.steps {
            self.step(&mut system, &mut sets, step);
        }
        Self::finish(&mut system, &sets);
    }

    fn step<M: Model>(&self, system: &mut System<M>, sets: &mut Sets, step: &Step) {
        let before = system.snapshot();
        let refusals = system.machine.faults().refused();
        if let Some(k) = step.fails {
            system.machine.faults().fail_after(Which::All, k);
        }
        let result = system.apply(step.op::<M::Geometry>());
        let refused = system.machine.faults().refused() > refusals;
        system.machine.faults().heal();
        assert_eq!(result.is_ok(), sets.allows(step) && !refused, "{step:?}: {result:?}");
        if result.is_ok() {
            sets.apply(step);
        } else {
            assert_eq!(system.snapshot(), before, "{step:?}: {result:?}");
        }
        sets.compare(system);
    }

    /// Takes everything away that can go; when all can, no metadata may be left.
    fn finish<M: Model>(system: &mut System<M>, sets: &Sets) {
        for (first, count) in &sets.devices {
            system.apply(Op::RemoveDevice(subsections::<M::Geometry>(0, *first, *count))).unwrap();
        }
        let mut left = 0;
        for (nr, state) in &sets.blocks {
            let block = sections::<M::Geometry>(*nr, 1);
            let offline = *state == BlockState::Offline || system.apply(Op::Offline(block)).is_ok();
            if offline {
                system.apply(Op::RemoveMemory(block)).unwrap();
            } else {
                left += 1;
            }
        }
        if left == 0 {
            assert!(system.machine.balance().is_zero(), "left over: {:?}", system.machine.balance());
            assert_eq!(system.hotplug.resources().iter().count(), 0);
        }
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => Just(What::AddMemory),
        2 => Just(What::RemoveMemory),
        3 => Just(What::Online),
        4 => Just(What::Offline),
        4 => Just(What::AddDevice),
        3 => Just(What::RemoveDevice),
    ]
}

/// Whole sections mostly, for RAM; anything in between for devices, from a few places so that they meet again.
fn step<G: Geometry>() -> impl Strategy<Value = Step> {
    let per = u64::from(G::SUBSECTIONS_PER_SECTION);
    let quarter = per / 4;
    let blocks = (0..SECTIONS, 1u64..=2)
        .prop_map(move |(first, count)| (first * per, count.min(SECTIONS - first) * per));
    let parts = (0..SECTIONS * 4, 1u64..=6)
        .prop_map(move |(first, count)| (first * quarter, count.min(SECTIONS * 4 - first) * quarter));
    let fails = prop_oneof![3 => Just(None), 1 => (0u64..8).prop_map(Some)];
    (what(), blocks, parts, 0..10u8, fails).prop_map(|(what, blocks, parts, mix, fails)| {
        let device = matches!(what, What::AddDevice | What::RemoveDevice);
        let (first, count) = if device == (mix > 0) { parts } else { blocks };
        Step { what, first, count, fails }
    })
}

/// RAM of boot: whole sections, and one with a hole.
fn early<G: Geometry>() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let per = u64::from(G::SUBSECTIONS_PER_SECTION);
    (0u64..3, 0..per).prop_map(move |(whole, part)| {
        let ranges = [(0, whole * per), (4 * per, part)];
        ranges.into_iter().filter(|(_, count)| *count > 0).collect()
    })
}

/// The operation that often follows on the same range.
const fn successor(what: What) -> What {
    match what {
        What::AddMemory => What::Online,
        What::Online => What::Offline,
        What::Offline => What::RemoveMemory,
        What::RemoveMemory => What::AddMemory,
        What::AddDevice => What::RemoveDevice,
        What::RemoveDevice => What::AddDevice,
    }
}

/// Follows up on earlier steps, so that removals and switches find something.
fn steps<G: Geometry>(len: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((step::<G>(), any::<bool>(), any::<prop::sample::Index>()), 1..len).prop_map(
        |all| {
            let mut steps: Vec<Step> = Vec::new();
            for (mut step, again, index) in all {
                if again && !steps.is_empty() {
                    let earlier = steps[index.index(steps.len())];
                    step = Step { what: successor(earlier.what), fails: step.fails, ..earlier };
                }
                steps.push(step);
            }
            steps
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn tiny_machines(early in early::<Tiny>(), steps in steps::<Tiny>(60)) {
        let sequence = Sequence { early: &early, steps: &steps };
        for backend in Backend::ALL {
            sequence.run(Fixture::<any_model!(Tiny, Page, HostRcu<()>)>::usual(backend));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pcs(early in early::<X86_64>(), steps in steps::<X86_64>(30)) {
        let sequence = Sequence { early: &early, steps: &steps };
        for backend in Backend::ALL {
            sequence.run(Fixture::<any_model!(X86_64, Page, HostRcu<()>)>::usual(backend));
        }
    }
}
