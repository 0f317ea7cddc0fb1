//! Random sequences of subsections that come and go, on all three models, against sets of numbers.
//!
//! After every step each model has to be in exactly the state that the sets describe; after a refused or failed step,
//! in the state it had before, down to the free lists of the machine's allocators; and when everything is gone, so is
//! all metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    BootModel, Geometry, InstallError, InstallModel, MarkModel, MemoryRange, NodeId, Page, PageCount, Pfn,
    PfnRange, PhysAddr, PhysRange, RetireError, RetireModel, SectionFlags, SectionNr, SectionShape,
    SubsectionIdx,
};
use sparsemem_machine::{Access, HostRcu, Machine, MachineConfig, Which, place, probe};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

/// Sections that the sequences use.
const SECTIONS: u64 = 6;

struct Readers;
type Rcu = HostRcu<Readers>;

/// One step of a sequence: whole subsections of one section.
#[derive(Clone, Copy, Debug)]
enum Step {
    Install(Span),
    Retire(Span),
    Online(Span),
    Offline(Span),
    /// An installation during which the k-th request for memory or a mapping is refused.
    InstallFailing(Span, u64),
}

#[derive(Clone, Copy, Debug)]
struct Span {
    section: u64,
    first: u32,
    count: u32,
}

impl Span {
    fn frames<G: Geometry>(self) -> PfnRange {
        let start = self.section * G::PAGES_PER_SECTION + u64::from(self.first) * G::PAGES_PER_SUBSECTION;
        let count = u64::from(self.count) * G::PAGES_PER_SUBSECTION;
        PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
    }

    fn indices(self) -> BTreeSet<u32> {
        (self.first..self.first + self.count).collect()
    }
}

/// What the models should be: populated subsections by section, and the sections of boot.
#[derive(Clone, Default)]
struct Oracle {
    populated: BTreeMap<u64, BTreeSet<u32>>,
    online: BTreeSet<(u64, u32)>,
    early: BTreeSet<u64>,
}

impl Oracle {
    fn has(&self, span: Span) -> BTreeSet<u32> {
        let populated = self.populated.get(&span.section).cloned().unwrap_or_default();
        populated.intersection(&span.indices()).copied().collect()
    }

    /// Which subsections of a span are online.
    fn online_in(&self, span: Span) -> BTreeSet<u32> {
        span.indices().into_iter().filter(|index| self.online.contains(&(span.section, *index))).collect()
    }

    fn set_online(&mut self, span: Span) {
        self.online.extend(span.indices().into_iter().map(|index| (span.section, index)));
    }

    fn set_offline(&mut self, span: Span) {
        self.online.retain(|(section, index)| *section != span.section || !span.indices().contains(index));
    }

    fn install(&mut self, span: Span) {
        self.populated.entry(span.section).or_default().extend(span.indices());
    }

    fn retire(&mut self, span: Span) {
        let Some(populated) = self.populated.get_mut(&span.section) else { return };
        populated.retain(|index| !span.indices().contains(index));
        if populated.is_empty() {
            self.populated.remove(&span.section);
            self.early.remove(&span.section);
        }
    }

    fn flags(&self, section: u64) -> SectionFlags {
        if !self.populated.contains_key(&section) {
            return SectionFlags::empty();
        }
        let mut flags = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
        flags.set(SectionFlags::EARLY, self.early.contains(&section));
        flags.set(SectionFlags::ONLINE, self.online.iter().any(|(online, _)| *online == section));
        flags
    }

    fn is_valid(&self, section: u64, index: u32) -> bool {
        self.early.contains(&section) || self.populated.get(&section).is_some_and(|set| set.contains(&index))
    }
}

/// A model on its machine, with what it should be.
struct Bench<M> {
    model: Box<M>,
    machine: Machine,
    oracle: Oracle,
}

impl<M> Bench<M>
where
    M: BootModel<Machine, Page = Page> + InstallModel<Machine> + MarkModel + RetireModel<Machine>,
{
    /// Boots with the given subsections of each section.
    fn boot(model: Box<M>, mut machine: Machine, early: &[Span]) -> Self {
        let mut oracle = Oracle::default();
        let memory = early.iter().map(|span| {
            oracle.install(*span);
            oracle.early.insert(span.section);
            oracle.set_online(*span);
            MemoryRange { frames: span.frames::<M::Geometry>(), node: NodeId::new(0) }
        });
        let memory: Vec<_> = memory.collect();
        model.boot(&mut machine, memory.iter().copied(), &mut |event| panic!("{event:?}")).unwrap();
        machine.finish_boot();
        Self { model, machine, oracle }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Install(span) => self.install(span),
            Step::Retire(span) => self.retire(span),
            Step::Online(span) => self.set_online(span),
            Step::Offline(span) => self.set_offline(span),
            Step::InstallFailing(span, k) => {
                self.machine.faults().fail_nth(Which::All, k);
                self.install(span);
                self.machine.faults().heal();
            }
        }
        self.compare();
    }

    fn install(&mut self, span: Span) {
        let before = self.machine.state_digest();
        match self.model.install(&mut self.machine, span.frames::<M::Geometry>(), NodeId::new(0)) {
            Ok(()) => {
                assert!(self.oracle.has(span).is_empty());
                self.oracle.install(span);
                self.write_descriptors(span);
            }
            Err(InstallError::Populated { populated, .. }) => {
                assert_eq!(populated.count() as usize, self.oracle.has(span).len());
                assert!(
                    self.oracle.has(span).iter().all(|index| populated.contains(SubsectionIdx::new(*index)))
                );
                assert_eq!(self.machine.state_digest(), before);
            }
            Err(InstallError::NoMetadata { refused: None, .. }) => {
                assert_eq!(
                    self.machine.state_digest(),
                    before,
                    "a failed installation left something behind"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// New descriptors are zero, whatever their memory held before (but those of a hole of an early section are as they
    /// were left); each gets a value to leave behind.
    fn write_descriptors(&self, span: Span) {
        let frames = span.frames::<M::Geometry>();
        let reader = self.model.read();
        let last = Pfn::new(frames.end().get() - 1);
        for page in [frames.start(), last].map(|pfn| reader.page(pfn).unwrap()) {
            let old = page.private.swap(0xdead, Ordering::Relaxed);
            assert!(
                old == 0 || frames.count().get() == 1 || self.oracle.early.contains(&span.section),
                "{span:?}"
            );
        }
    }

    fn retire(&mut self, span: Span) {
        let before = self.machine.state_digest();
        match self.model.retire(&mut self.machine, span.frames::<M::Geometry>()) {
            Ok(retired) => {
                assert_eq!(self.oracle.has(span), span.indices());
                assert!(self.oracle.online_in(span).is_empty());
                assert_eq!(retired.refused, 0);
                self.oracle.retire(span);
            }
            Err(RetireError::Absent { absent, .. }) => {
                let missing = span.indices().len() - self.oracle.has(span).len();
                assert_eq!(absent.count() as usize, missing);
                assert_eq!(self.machine.state_digest(), before);
            }
            Err(RetireError::Online { online, .. }) => {
                assert_eq!(online.count() as usize, self.oracle.online_in(span).len());
                assert_eq!(self.machine.state_digest(), before);
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn set_online(&mut self, span: Span) {
        let all_there = self.oracle.has(span) == span.indices();
        let ready = all_there && self.oracle.online_in(span).is_empty();
        assert_eq!(self.model.set_online(span.frames::<M::Geometry>()).is_ok(), ready);
        if ready {
            self.oracle.set_online(span);
        }
    }

    fn set_offline(&mut self, span: Span) {
        let ready = self.oracle.online_in(span) == span.indices();
        assert_eq!(self.model.set_offline(span.frames::<M::Geometry>()).is_ok(), ready);
        if ready {
            self.oracle.set_offline(span);
        }
    }

    /// Compares everything that can be seen with the sets.
    fn compare(&self) {
        for section in 0..=SECTIONS {
            let state = self.model.section(SectionNr::new(section));
            assert_eq!(state.flags, self.oracle.flags(section), "flags of section {section}");
            let populated = self.oracle.populated.get(&section).cloned().unwrap_or_default();
            for index in 0..M::Geometry::SUBSECTIONS_PER_SECTION {
                let bit = SubsectionIdx::new(index);
                assert_eq!(state.subsections.contains(bit), populated.contains(&index), "{section}.{index}");
                self.compare_frames(section, index);
            }
        }
        self.machine.mirror_matches_tables().unwrap();
    }

    /// First and last frame of a subsection: valid as the sets say, and then really there.
    fn compare_frames(&self, section: u64, index: u32) {
        let frames = Span { section, first: index, count: 1 }.frames::<M::Geometry>();
        for pfn in [frames.start(), Pfn::new(frames.end().get() - 1)] {
            let found = self.model.lookup(pfn);
            assert_eq!(found.is_some(), self.oracle.is_valid(section, index), "frame {pfn}");
            if let Some(page) = found {
                assert_eq!(probe(page.as_ptr().cast()), Access::Readable, "descriptor of frame {pfn}");
            }
            let online = self.model.read().online_page(pfn).is_some();
            assert_eq!(online, self.oracle.online.contains(&(section, index)), "online frame {pfn}");
        }
    }

    /// Retires all that is left: no metadata may remain.
    fn finish(mut self) {
        for (section, set) in self.oracle.populated.clone() {
            for index in set {
                let span = Span { section, first: index, count: 1 };
                self.set_offline(span);
                self.retire(span);
                self.compare();
            }
        }
        assert!(self.machine.balance().is_zero(), "left over: {:?}", self.machine.balance());
        assert_eq!(self.machine.mirrored().count(), 0);
    }
}

/// A machine whose memory is far larger than what the models are told of, so that metadata always has room.
fn machine() -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(1 << 30)).unwrap();
    Machine::new(&MachineConfig::new().memory(memory, NodeId::new(0)).vmemmap_bytes(1 << 30)).unwrap()
}

/// Runs one sequence on all three models.
fn run<G: Geometry, const NR_SECTIONS: usize, const NR_ROOTS: usize>(early: &[Span], steps: &[Step]) {
    let mut classic = Bench::boot(place::<ClassicSparse<G, Page, Rcu, NR_SECTIONS>>(), machine(), early);
    let mut extreme = Bench::boot(place::<SparseExtreme<G, Page, Rcu, NR_ROOTS>>(), machine(), early);
    let with_window = machine();
    let vmemmap = place::<Vmemmap<G, Page, Rcu, DynamicBase, NR_ROOTS>>();
    let bytes = with_window.window().count().get();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { vmemmap.placement().base().reserve(with_window.window_ptr(), bytes) };
    let mut vmemmap = Bench::boot(vmemmap, with_window, early);
    for step in steps {
        classic.step(*step);
        extreme.step(*step);
        vmemmap.step(*step);
    }
    classic.finish();
    extreme.finish();
    vmemmap.finish();
}

fn span<G: Geometry>() -> impl Strategy<Value = Span> {
    let all = G::SUBSECTIONS_PER_SECTION;
    let part = (0..all).prop_flat_map(move |first| (Just(first), 1..=all - first));
    let shape = prop_oneof![3 => part, 1 => Just((0, all))];
    (0..SECTIONS, shape).prop_map(|(section, (first, count))| Span { section, first, count })
}

fn step<G: Geometry>() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => span::<G>().prop_map(Step::Install),
        4 => span::<G>().prop_map(Step::Retire),
        1 => span::<G>().prop_map(Step::Online),
        3 => span::<G>().prop_map(Step::Offline),
        2 => (span::<G>(), prop_oneof![3 => 0u64..6, 1 => 6u64..520]).prop_map(|(span, k)| Step::InstallFailing(span, k)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Several sections' descriptors share a page: only the last of them may free it.
    #[test]
    fn tiny_sections(
        early in prop::collection::vec(span::<Tiny>(), 0..4),
        steps in prop::collection::vec(step::<Tiny>(), 1..40),
    ) {
        run::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&early, &steps);
    }

    /// The geometry of a PC: base pages for subsections, 2 MiB for sections.
    #[test]
    fn pc_sections(
        early in prop::collection::vec(span::<X86_64>(), 0..3),
        steps in prop::collection::vec(step::<X86_64>(), 1..24),
    ) {
        run::<X86_64, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(&early, &steps);
    }
}
