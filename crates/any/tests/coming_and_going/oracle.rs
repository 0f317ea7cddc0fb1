//! Steps of a sequence, and what they should do: sets of numbers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sparsemem_core::{Geometry, PfnRange, SectionFlags, SectionShape};
use sparsemem_fixture::subsections;

/// Sections that the sequences use.
pub(crate) const SECTIONS: u64 = 6;

/// One step of a sequence: whole subsections of one section.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Install(Span),
    Retire(Span),
    Online(Span),
    Offline(Span),
    /// An installation during which the k-th request for memory or a mapping is refused.
    InstallFailing(Span, u64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) section: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Span {
    pub(crate) fn frames<G: Geometry>(self) -> PfnRange {
        subsections::<G>(self.section, self.first.into(), self.count.into())
    }

    pub(crate) fn indices(self) -> BTreeSet<u32> {
        (self.first..self.first + self.count).collect()
    }
}

/// The state that the models should have: populated subsections by section, and the sections of boot.
#[derive(Clone, Default)]
pub(crate) struct Oracle {
    pub(crate) populated: BTreeMap<u64, BTreeSet<u32>>,
    pub(crate) online: BTreeSet<(u64, u32)>,
    pub(crate) early: BTreeSet<u64>,
}

impl Oracle {
    pub(crate) fn has(&self, span: Span) -> BTreeSet<u32> {
        let populated = self.populated.get(&span.section).cloned().unwrap_or_default();
        populated.intersection(&span.indices()).copied().collect()
    }

    /// The subsections of a span that are online.
    pub(crate) fn online_in(&self, span: Span) -> BTreeSet<u32> {
        span.indices().into_iter().filter(|index| self.online.contains(&(span.section, *index))).collect()
    }

    pub(crate) fn set_online(&mut self, span: Span) {
        self.online.extend(span.indices().into_iter().map(|index| (span.section, index)));
    }

    pub(crate) fn set_offline(&mut self, span: Span) {
        self.online.retain(|(section, index)| *section != span.section || !span.indices().contains(index));
    }

    pub(crate) fn install(&mut self, span: Span) {
        self.populated.entry(span.section).or_default().extend(span.indices());
    }

    pub(crate) fn retire(&mut self, span: Span) {
        let Some(populated) = self.populated.get_mut(&span.section) else { return };
        populated.retain(|index| !span.indices().contains(index));
        if populated.is_empty() {
            self.populated.remove(&span.section);
            self.early.remove(&span.section);
        }
    }

    pub(crate) fn flags(&self, section: u64) -> SectionFlags {
        if !self.populated.contains_key(&section) {
            return SectionFlags::empty();
        }
        let mut flags = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
        flags.set(SectionFlags::EARLY, self.early.contains(&section));
        flags.set(SectionFlags::ONLINE, self.online.iter().any(|(online, _)| *online == section));
        flags
    }

    pub(crate) fn is_valid(&self, section: u64, index: u32) -> bool {
        self.early.contains(&section) || self.populated.get(&section).is_some_and(|set| set.contains(&index))
    }
}

/// Some subsections of a section, often all.
pub(crate) fn span<G: Geometry>() -> impl Strategy<Value = Span> {
    let all = G::SUBSECTIONS_PER_SECTION;
    let part = (0..all).prop_flat_map(move |first| (Just(first), 1..=all - first));
    let shape = prop_oneof![3 => part, 1 => Just((0, all))];
    (0..SECTIONS, shape).prop_map(|(section, (first, count))| Span { section, first, count })
}

/// Any step.
pub(crate) fn step<G: Geometry>() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => span::<G>().prop_map(Step::Install),
        4 => span::<G>().prop_map(Step::Retire),
        1 => span::<G>().prop_map(Step::Online),
        3 => span::<G>().prop_map(Step::Offline),
        2 => (span::<G>(), prop_oneof![3 => 0u64..6, 1 => 6u64..520]).prop_map(|(span, k)| Step::InstallFailing(span, k)),
    ]
}
