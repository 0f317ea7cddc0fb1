//! A model on its machine, compared with sets after every step.

use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{
    BootModel, InstallError, InstallModel, LeafSize, MarkModel, MemoryRange, Page, PageDescriptor, Pfn,
    RetireError, RetireModel, SectionNr, SectionShape, SubsectionIdx,
};
use sparsemem_fixture::{Fixture, NODE, Wide, boot};
use sparsemem_machine::{Access, Machine, Which, probe};

use crate::oracle::{Oracle, SECTIONS, Span, Step};

/// A descriptor with a word to leave something behind in.
pub(crate) trait Marked: PageDescriptor {
    fn mark(&self) -> &AtomicU64;
}

impl Marked for Page {
    fn mark(&self) -> &AtomicU64 {
        &self.private
    }
}

impl<const WORDS: usize> Marked for Wide<WORDS> {
    fn mark(&self) -> &AtomicU64 {
        &self.mark
    }
}

/// A model on its machine, with what it should be.
pub(crate) struct Checked<M> {
    model: Box<M>,
    machine: Machine,
    oracle: Oracle,
}

impl<M> Checked<M>
where
    M: BootModel<Machine, Page: Marked> + InstallModel<Machine> + MarkModel + RetireModel<Machine>,
{
    /// Boots with the given subsections of each section.
    pub(crate) fn boot(fixture: Fixture<Box<M>>, early: &[Span]) -> Self {
        let Fixture { model, mut machine } = fixture;
        let mut oracle = Oracle::default();
        let memory = early.iter().map(|span| {
            oracle.install(*span);
            oracle.early.insert(span.section);
            oracle.set_online(*span);
            MemoryRange { frames: span.frames::<M::Geometry>(), node: NODE }
        });
        let memory: Vec<_> = memory.collect();
        boot(&*model, &mut machine, &memory);
        Self { model, machine, oracle }
    }

    pub(crate) fn step(&mut self, step: Step) {
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
        let (frames, node) = (span.frames::<M::Geometry>(), NODE);
        let installed = self.model.write().unwrap().install(&mut self.machine, frames, node);
        match installed {
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
            Err(InstallError::NoMetadata { lost, .. }) => {
                assert!(lost.is_empty(), "{lost}");
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
            let old = page.mark().swap(0xdead, Ordering::Relaxed);
            assert!(
                old == 0 || frames.count().get() == 1 || self.oracle.early.contains(&span.section),
                "{span:?}"
            );
        }
    }

    fn retire(&mut self, span: Span) {
        let before = self.machine.state_digest();
        let retired = self.model.write().unwrap().retire(&mut self.machine, span.frames::<M::Geometry>());
        match retired {
            Ok(retired) => {
                assert_eq!(self.oracle.has(span), span.indices());
                assert!(self.oracle.online_in(span).is_empty());
                let gone = self.oracle.has(span).len() == self.oracle.populated[&span.section].len();
                assert_eq!((retired.sections, retired.gone, retired.lost.count()), (1, u64::from(gone), 0));
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
        assert_eq!(self.model.write().unwrap().set_online(span.frames::<M::Geometry>()).is_ok(), ready);
        if ready {
            self.oracle.set_online(span);
        }
    }

    fn set_offline(&mut self, span: Span) {
        let ready = self.oracle.online_in(span) == span.indices();
        assert_eq!(self.model.write().unwrap().set_offline(span.frames::<M::Geometry>()).is_ok(), ready);
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

    /// The sizes of the leaves that are mapped.
    pub(crate) fn leaves(&self) -> Vec<LeafSize> {
        self.machine.mirrored().map(|leaf| leaf.size).collect()
    }

    /// Retires all that is left, in eighths of sections: no metadata may remain.
    pub(crate) fn finish(mut self) {
        let all = M::Geometry::SUBSECTIONS_PER_SECTION;
        let step = all.div_ceil(8);
        for (section, set) in self.oracle.populated.clone() {
            for first in (0..all).step_by(step as usize) {
                for span in runs(section, set.range(first..first + step)) {
                    self.set_offline_all(span);
                    self.retire(span);
                }
                self.compare();
            }
        }
        assert!(self.machine.balance().is_zero(), "left over: {:?}", self.machine.balance());
        assert_eq!(self.machine.mirrored().count(), 0);
    }

    /// Takes offline whatever of a span is online.
    fn set_offline_all(&mut self, span: Span) {
        for index in span.indices() {
            self.set_offline(Span { first: index, count: 1, ..span });
        }
    }
}

/// The runs of successive indices.
fn runs<'i>(section: u64, indices: impl Iterator<Item = &'i u32>) -> Vec<Span> {
    let mut runs: Vec<Span> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some(last) if last.first + last.count == *index => last.count += 1,
            _ => runs.push(Span { section, first: *index, count: 1 }),
        }
    }
    runs
}
