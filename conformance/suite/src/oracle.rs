//! The expected state by definition: a plain model of sections, written without the crates under test.
//!
//! # Invariants
//!
//! 1. The code is simple: every answer follows by counting from the memory ranges and the raw numbers of the
//!    geometry.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use sparsemem_core::{
    EarlyFrames, MemoryRange, NodeId, Pfn, PfnRange, SectionFlags, SectionNr, SectionState, SubsectionBits,
};

use crate::Shape;

/// A section that has memory.
#[derive(Clone, Debug)]
struct Present {
    /// The node that reported it first (W-33).
    node: u32,
    /// The frames of memory in it: first frame, and first frame past them.
    parts: Vec<(u64, u64)>,
}

/// The expected state of a model after boot.
#[derive(Clone, Debug)]
pub struct Oracle {
    shape: Shape,
    sections: BTreeMap<u64, Present>,
    shared: BTreeSet<(u64, u32, u32)>,
    beyond: Vec<(u64, u64)>,
    early: EarlyFrames,
}

impl Oracle {
    /// The expected state after a boot from `memory`.
    #[must_use]
    pub fn new(shape: Shape, memory: &[MemoryRange]) -> Self {
        let (sections, shared, beyond) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut oracle = Self { shape, sections, shared, beyond, early: EarlyFrames::All };
        for range in memory {
            oracle.report(range.frames.start().get(), range.frames.end().get(), range.node.get());
        }
        oracle
    }

    /// The same for a model with another rule of what is valid in a section of boot.
    #[must_use]
    pub fn with_early(self, early: EarlyFrames) -> Self {
        Self { early, ..self }
    }

    /// Adds reported memory from frame `start` to before `end`.
    fn report(&mut self, start: u64, end: u64, node: u32) {
        let limit = self.shape.frames();
        if end > limit && start < end {
            self.beyond.push((start.max(limit), end));
        }
        let mut at = start;
        while at < end.min(limit) {
            let nr = self.shape.section_of(at);
            let next = self.shape.first_frame(nr + 1).min(end).min(limit);
            self.report_part(nr, (at, next), node);
            at = next;
        }
    }

    /// Adds reported memory in one section.
    fn report_part(&mut self, nr: u64, part: (u64, u64), node: u32) {
        let section = self.sections.entry(nr).or_insert(Present { node, parts: Vec::new() });
        section.parts.push(part);
        if section.node != node {
            self.shared.insert((nr, section.node, node));
        }
    }

    /// The expected state if the sections `lost` are lost.
    #[must_use]
    pub fn without(&self, lost: &BTreeSet<u64>) -> Self {
        let mut rest = self.clone();
        rest.sections.retain(|nr, _| !lost.contains(nr));
        rest
    }

    /// The geometry's numbers.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The present sections, lowest first.
    #[must_use]
    pub fn sections(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.sections.keys().copied()
    }

    /// The number of present sections.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sections.len() as u64
    }

    /// True if a section is present.
    #[must_use]
    pub fn is_present(&self, nr: u64) -> bool {
        self.sections.contains_key(&nr)
    }

    /// The first present section at or after `from`.
    #[must_use]
    pub fn next_present(&self, from: u64) -> Option<u64> {
        self.sections.range(from..).next().map(|(nr, _)| *nr)
    }

    /// The node that provides a section's metadata.
    #[must_use]
    pub fn node(&self, nr: u64) -> Option<NodeId> {
        self.sections.get(&nr).map(|section| NodeId::new(section.node))
    }

    /// Sections that two nodes have memory in: section, first node, later node.
    #[must_use]
    pub const fn shared(&self) -> &BTreeSet<(u64, u32, u32)> {
        &self.shared
    }

    /// The frames of each reported range that lie beyond the geometry's maximum.
    #[must_use]
    pub fn beyond(&self) -> &[(u64, u64)] {
        &self.beyond
    }

    /// The subsections that each part of a section's memory touches.
    fn touched(&self, nr: u64) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.parts(nr)
            .iter()
            .map(|(start, end)| self.shape.subsection_of(*start)..=self.shape.subsection_of(end - 1))
    }

    /// The subsections of a section that contain a frame of memory (O-34).
    #[must_use]
    pub fn subsections(&self, nr: u64) -> BTreeSet<u64> {
        self.touched(nr).flatten().collect()
    }

    /// The observable state of a section after boot (I-01, I-04).
    #[must_use]
    pub fn state(&self, nr: u64) -> SectionState {
        if !self.is_present(nr) {
            return SectionState::ABSENT;
        }
        let mut words = [0u64; 8];
        for index in self.touched(nr).flatten() {
            words[(index / 64) as usize] |= 1 << (index % 64);
        }
        let subsections = SubsectionBits::from_words(words);
        SectionState {
            flags: SectionFlags::PRESENT
                | SectionFlags::HAS_MEM_MAP
                | SectionFlags::ONLINE
                | SectionFlags::EARLY,
            early_node: None,
            subsections,
            online: subsections,
        }
    }

    /// The frames of each part of a section's memory: first frame, and first frame past them.
    fn parts(&self, nr: u64) -> &[(u64, u64)] {
        self.sections.get(&nr).map_or(&[], |section| &section.parts)
    }

    /// True if a frame is valid: all frames of a section that is present at boot are (O-100), or those of the
    /// subsections that contain memory, or those of memory.
    #[must_use]
    pub fn is_valid(&self, frame: u64) -> bool {
        let nr = self.shape.section_of(frame);
        frame < self.shape.frames()
            && match self.early {
                EarlyFrames::All => self.is_present(nr),
                EarlyFrames::Populated => {
                    self.touched(nr).any(|touched| touched.contains(&self.shape.subsection_of(frame)))
                }
                EarlyFrames::Reported => {
                    self.parts(nr).iter().any(|(start, end)| (*start..*end).contains(&frame))
                }
            }
    }

    /// Runs of successive sections of one node (O-20): first section, and first section past the run.
    #[must_use]
    pub fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut before = None;
        for (nr, section) in &self.sections {
            match runs.last_mut() {
                Some((_, end)) if before == Some((nr.wrapping_sub(1), section.node)) => *end = nr + 1,
                _ => runs.push((*nr, nr + 1)),
            }
            before = Some((*nr, section.node));
        }
        runs
    }

    /// The valid frames of a present section: first frame, and first frame past each run.
    fn valid_runs(&self, nr: u64) -> Vec<(u64, u64)> {
        let start = self.shape.first_frame(nr);
        let subsection = |index| {
            let from = start + index * self.shape.subsection_frames();
            (from, from + self.shape.subsection_frames())
        };
        match self.early {
            EarlyFrames::All => [(start, start + self.shape.section_frames())].into(),
            EarlyFrames::Populated => joined(self.subsections(nr).into_iter().map(subsection).collect()),
            EarlyFrames::Reported => joined(self.parts(nr).to_vec()),
        }
    }

    /// The valid frames in a range, split at section borders.
    #[must_use]
    pub fn valid_in(&self, within: PfnRange) -> Vec<PfnRange> {
        let first = self.shape.section_of(within.start().get());
        let mut found = Vec::new();
        for (nr, _) in self.sections.range(first..) {
            let start = self.shape.first_frame(*nr);
            if start >= within.end().get() {
                break;
            }
            let runs = self.valid_runs(*nr).into_iter();
            let parts = runs.map(|(start, end)| range(start, end).intersection(within));
            found.extend(parts.filter(|part| !part.is_empty()));
        }
        found
    }

    /// Groups of successive sections, regardless of their nodes: first section, and first section past the group.
    #[must_use]
    pub fn stretches(&self) -> Vec<(u64, u64)> {
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        for nr in self.sections() {
            match stretches.last_mut() {
                Some((_, end)) if *end == nr => *end += 1,
                _ => stretches.push((nr, nr + 1)),
            }
        }
        stretches
    }

    /// The number of frames in present sections that are not memory; Linux calls them pages in unavailable ranges.
    #[must_use]
    pub fn unavailable_frames(&self) -> u64 {
        self.sections.keys().map(|nr| self.shape.section_frames() - self.memory_frames(*nr)).sum()
    }

    /// The number of frames of memory in a section; frames that are reported several times count once.
    fn memory_frames(&self, nr: u64) -> u64 {
        let mut parts = self.sections.get(&nr).map_or(Vec::new(), |section| section.parts.clone());
        parts.sort_unstable();
        let mut counted_to = 0;
        let mut frames = 0;
        for (start, end) in parts {
            frames += end.saturating_sub(start.max(counted_to));
            counted_to = counted_to.max(end);
        }
        frames
    }
}

/// The same frames in as few runs as there can be, lowest first.
fn joined(mut runs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    runs.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in runs {
        match joined.last_mut() {
            Some((_, end)) if *end >= from => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// The frames from `start` to before `end`; empty if `end` is not larger.
#[must_use]
pub fn range(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or(PfnRange::empty_at(Pfn::new(start)))
}

/// Section numbers as integers.
#[must_use]
pub fn numbers(sections: impl IntoIterator<Item = SectionNr>) -> Vec<u64> {
    sections.into_iter().map(SectionNr::get).collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use sparsemem_core::presets::X86_64;

    use super::*;

    fn memory(start: u64, end: u64, node: u32) -> MemoryRange {
        MemoryRange { frames: range(start, end), node: NodeId::new(node) }
    }

    #[test]
    fn it_answers_the_worked_vector_of_two_nodes() {
        // Node 0 has [1 MiB, 130 MiB), and node 1 has [130 MiB, 300 MiB) (T-08).
        let oracle =
            Oracle::new(Shape::of::<X86_64>(), &[memory(0x100, 0x8200, 0), memory(0x8200, 0x1_2c00, 1)]);
        assert_eq!(oracle.runs(), [(0, 2), (2, 3)]);
        assert_eq!(oracle.shared(), &BTreeSet::from([(1, 0, 1)]));
        assert_eq!(oracle.subsections(0).len(), 64);
        assert_eq!(oracle.subsections(2), (0..22).collect());
        assert_eq!(oracle.state(2).subsections.words()[0], (1 << 22) - 1);
        assert!(oracle.is_valid(350 << 8) && !oracle.is_valid(3 << 15));
        assert_eq!(oracle.unavailable_frames(), 0x100 + 0x1_8000 - 0x1_2c00);
    }

    #[test]
    fn what_lies_beyond_the_maximum_is_no_section() {
        let shape = Shape::of::<X86_64>();
        let limit = shape.frames();
        let oracle = Oracle::new(shape, &[memory(limit - 1, limit + 5, 0), memory(limit + 9, u64::MAX, 0)]);
        assert_eq!(oracle.sections().collect::<Vec<_>>(), [shape.sections() - 1]);
        assert_eq!(oracle.beyond(), [(limit, limit + 5), (limit + 9, u64::MAX)]);
        assert_eq!(oracle.valid_in(range(0, u64::MAX)), vec![range(limit - shape.section_frames(), limit)]);
    }

    #[test]
    fn each_rule_has_its_frames() {
        let reported = [memory(0, 0x9f, 0), memory(0x100, 0x201, 0), memory(0x180, 0x1ff, 0)];
        let by = |rule| Oracle::new(Shape::of::<X86_64>(), &reported).with_early(rule);
        let (frames, all) = (|oracle: &Oracle| oracle.valid_in(range(0, u64::MAX)), EarlyFrames::Reported);
        assert_eq!(frames(&by(EarlyFrames::All)), [range(0, 0x8000)]);
        assert_eq!(frames(&by(EarlyFrames::Populated)), [range(0, 0x400)]);
        assert_eq!(frames(&by(all)), [range(0, 0x9f), range(0x100, 0x201)]);
        let is_valid = [0x9e, 0x9f, 0x100, 0x200, 0x201].map(|frame| by(all).is_valid(frame));
        assert_eq!(is_valid, [true, false, true, true, false]);
    }

    #[test]
    fn overlapping_reports_count_once() {
        let oracle =
            Oracle::new(Shape::of::<X86_64>(), &[memory(0, 100, 0), memory(50, 120, 0), memory(10, 20, 0)]);
        assert_eq!(oracle.unavailable_frames(), 0x8000 - 120);
    }
}
