//! Everything that can be observed of a model and its memory, as a value to compare.

use sparsemem_core::{
    LookupError, MemoryModel, Pfn, PfnRange, Reader, SectionNr, SectionShape, SectionState, SubsectionBits,
};

use crate::engine::Lines;
use crate::environment::{Descriptor, Environment, Mark, MemoryView};
use crate::shape::{FRAMES, SECTIONS, Shape};

/// The observable state of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SectionView {
    pub(crate) flags: u8,
    pub(crate) populated: u16,
    pub(crate) online: u16,
    pub(crate) has_early_node: bool,
}

/// The results of all lookups of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FrameView {
    /// The frame was not looked up.
    #[default]
    NotLookedAt,
    /// All lookups find the descriptor.
    Online,
    /// All lookups find it, except those for online frames.
    Offline,
    /// No lookup finds it, because its subsection is absent.
    AbsentSubsection,
    /// No lookup finds it, because its section is absent.
    AbsentSection,
    /// No lookup finds it, because the frame is beyond the maximum.
    BeyondMaximum,
    /// The descriptor has another frame's mark, or lies in freed memory.
    WrongDescriptor,
    /// The lookups contradict each other.
    Contradiction,
}

/// The observable state of a model and its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) sections: [SectionView; SECTIONS],
    pub(crate) frames: [FrameView; FRAMES],
    /// Sections that a walk over present sections visits, one bit each, counted from the first of the region.
    pub(crate) present: u8,
    /// Frames that a walk over valid frames visits, one bit each, counted from the first of the region.
    pub(crate) runs: u32,
    pub(crate) memory: MemoryView,
}

impl View {
    /// Observes a model and its memory.
    pub(crate) fn of<M>(model: &M, environment: &Environment, shape: &Shape, probes: &[u64]) -> Self
    where
        M: MemoryModel<Page = Descriptor>,
    {
        let mut view = Self { memory: environment.view(), ..Self::default() };
        for (nr, section) in (shape.first_section..).zip(view.sections.iter_mut().take(shape.sections)) {
            *section = SectionView::of(&model.section(SectionNr::new(nr)));
        }
        let reader = model.read();
        for (frame, probe) in view.frames.iter_mut().zip(probes) {
            *frame = FrameView::of(&reader, *probe);
        }
        view.present = present(model, shape);
        view.runs = runs(model, shape);
        view
    }
}

impl SectionView {
    fn of(state: &SectionState) -> Self {
        Self {
            flags: state.flags.bits(),
            populated: low_bits(&state.subsections),
            online: low_bits(&state.online),
            has_early_node: state.early_node.is_some(),
        }
    }
}

impl FrameView {
    /// Looks a frame up by all methods and compares the results.
    fn of<M: MemoryModel<Page = Descriptor>>(reader: &Reader<'_, M>, frame: u64) -> Self {
        let pfn = Pfn::new(frame);
        match (reader.page(pfn), reader.online_page(pfn), reader.explain(pfn)) {
            (None, None, Err(why)) => Self::absent(why, pfn),
            (Some(page), online, Ok(explained)) => Self::valid(page, online, explained, frame),
            _ => Self::Contradiction,
        }
    }

    fn absent(why: LookupError, asked: Pfn) -> Self {
        match why {
            LookupError::AbsentSubsection { pfn, .. } if pfn == asked => Self::AbsentSubsection,
            LookupError::AbsentSection { pfn, .. } if pfn == asked => Self::AbsentSection,
            LookupError::BeyondMaximum { pfn, .. } if pfn == asked => Self::BeyondMaximum,
            _ => Self::Contradiction,
        }
    }

    fn valid(page: &Descriptor, online: Option<&Descriptor>, explained: &Descriptor, frame: u64) -> Self {
        let is_same = |other: &Descriptor| std::ptr::eq(page, other);
        if !is_same(explained) || !online.is_none_or(is_same) {
            return Self::Contradiction;
        }
        match (page.mark(frame), online) {
            (Mark::Own, Some(_)) => Self::Online,
            (Mark::Own, None) => Self::Offline,
            _ => Self::WrongDescriptor,
        }
    }
}

/// Marks the descriptors of all valid frames of the region that have no mark yet, and returns those frames.
pub(crate) fn settle<M: MemoryModel<Page = Descriptor>>(model: &M, shape: &Shape) -> u32 {
    let (first, reader) = (shape.first_frame(0), model.read());
    let mut fresh = 0;
    for frame in first..shape.first_frame(shape.cells()) {
        if let Some(page) = reader.page(Pfn::new(frame)).filter(|page| page.mark(frame) == Mark::Fresh) {
            page.settle(frame);
            fresh |= 1 << (frame - first);
        }
    }
    fresh
}

/// The lowest sixteen members of a set. If the set has others, all sixteen bits are set, which no view of a reference
/// has.
pub(crate) fn low_bits(bits: &SubsectionBits) -> u16 {
    let [low, rest @ ..] = bits.words();
    let low = if rest.iter().all(|word| *word == 0) { u16::try_from(*low).ok() } else { None };
    low.unwrap_or(u16::MAX)
}

/// The present sections; the highest bit is set if one lies outside the region.
fn present<M: MemoryModel>(model: &M, shape: &Shape) -> u8 {
    model.present_sections().fold(0, |met, nr| {
        let index = nr.get().wrapping_sub(shape.first_section);
        met | 1 << index.min(7)
    })
}

/// The valid frames; the highest bit is set if one lies outside the region, or if a run is empty or out of order.
fn runs<M: MemoryModel>(model: &M, shape: &Shape) -> u32 {
    let all = PfnRange::new(Pfn::new(0), Pfn::new(u64::MAX)).unwrap_or_default();
    let mut met = 0;
    for run in model.valid_ranges(all) {
        let last = Pfn::new(run.end().get().wrapping_sub(1));
        let in_one_section = run.start().section::<M::Geometry>() == last.section::<M::Geometry>();
        if run.count().get() > M::Geometry::PAGES_PER_SECTION || !in_one_section {
            return 1 << 31;
        }
        for frame in run.start().get()..run.end().get() {
            met |= 1 << frame.wrapping_sub(shape.first_frame(0)).min(31);
        }
    }
    met
}

impl Lines for View {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let SectionView { flags, populated, online, has_early_node } = section;
            let node = if *has_early_node { ", early node" } else { "" };
            lines.push(format!(
                "section {index} of the region: flags {flags:#07b}, populated {populated:#06b}, online {online:#06b}{node}"
            ));
        }
        lines
            .extend(self.frames.iter().enumerate().map(|(index, frame)| format!("probe {index}: {frame:?}")));
        lines.push(format!("present sections {:#05b}", self.present));
        lines.push(format!("valid frames {:#018b}", self.runs));
        let MemoryView { memmap_blocks, other_blocks, mapped, complaints } = self.memory;
        lines.push(format!("{memmap_blocks} blocks of descriptors, {other_blocks} others"));
        lines.push(format!("mapped pages {mapped:#018b}"));
        lines.push(format!("{complaints} complaints of the memory"));
        lines
    }
}
